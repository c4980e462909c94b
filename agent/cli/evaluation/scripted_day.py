"""`eval --day`: plays a scripted day of calls on the service in this process, and prints its table.

Time is virtual. A scripted model stands in for the one of the use case: it says what the call's
script has next, whatever it is asked, after the first-token time of the option. So the table shows
turn-taking, not the model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from time import monotonic

from agent.call.messages import ReplyPiece, ReplyRequest, Stopped, StopReason, TextPiece
from agent.cli.command import OptionError, check_writable, positive, positive_whole, write_files
from agent.cli.evaluation.hosted_service import (
    OFFLINE,
    configuration_around,
    hosted,
    hosted_settings,
)
from agent.cli.evaluation.paced_model import Pace, WrappedModel
from agent.cli.evaluation.suite import spread
from agent.errors import AgentError
from agent.ports import LanguageModel, Pause, no_pause
from agent.scenarios.day.call_grammar import LANGUAGES, language_of, language_table, scripted_call
from agent.scenarios.day.day_caller import play_call
from agent.scenarios.day.day_table import DayRow, day_table
from agent.scenarios.day.observed_call import ObservedCall
from agent.settings import Settings
from agent.simulator.carrier import CallRefusedError
from agent.simulator.virtual_time import run_virtually

CALLS = 1_000
FIRST_TOKEN_SECONDS = 0.6
_UNUSED: Mapping[str, object] = {
    "only": "", "timings": None, "timing": None, "repeat": 1, "model": OFFLINE,
    "html": None, "markdown": None, "junit": None,
}  # fmt: skip
"""Options of `eval`, and their values when they are not given."""
_PARTS_OF_A_JOB = 8
_WORDS_OF_A_PIECE = 5


def add_day(command: argparse.ArgumentParser) -> None:
    """Add the options of `eval --day` but for `--day` itself."""
    command.add_argument(
        "--calls",
        type=positive_whole,
        default=CALLS,
        metavar="N",
        help=f"with --day: the length of the day (default {CALLS})",
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="with --day: another day (default 0)"
    )
    command.add_argument(
        "--first-token",
        type=positive,
        default=FIRST_TOKEN_SECONDS,
        metavar="SECONDS",
        help=f"with --day: of the scripted model (default {FIRST_TOKEN_SECONDS:g})",
    )


async def judge_day(asked: argparse.Namespace) -> int:
    """Play the day and print its table; 0 if each wanted figure is reached in each language."""
    _require_day(asked)
    check_writable(asked, ["json"])
    settings = hosted_settings(asked.config or configuration_around(asked.place), OFFLINE)
    began = monotonic()
    calls = list[ObservedCall]()
    async with aclosing(spread(_played, list(_parts(settings, asked)), asked.jobs)) as played:
        async for finished in played:
            calls += finished
    calls.sort(key=lambda call: call.number)
    tables = {"all": day_table(calls, asked.first_token)}
    for language in LANGUAGES:
        code = language_table(language).code
        if own := [call for call in calls if call.language == code]:
            tables[language] = day_table(own, asked.first_token)
    for line in _lines(tables):
        print(line)
    turns = sum(len(call.turns) for call in calls)
    print(f"{len(calls):,} calls, {turns:,} turns, seed {asked.seed}, {monotonic() - began:.1f} s")
    write_files(asked, {"json": lambda: _json_text(tables, asked)})
    return int(not all(row.is_reached for rows in tables.values() for row in rows))


def _require_day(asked: argparse.Namespace) -> None:
    """Raise `OptionError` for an option that would not count."""
    for name, unset in _UNUSED.items():
        if getattr(asked, name) != unset:
            raise OptionError(f"--day: generates its calls and has a model; leave out --{name}")


def _lines(tables: Mapping[str, Sequence[DayRow]]) -> Iterator[str]:
    """The table of all calls, then a column for each language; `!` marks what is not reached."""
    yield f"{'all calls':56} {'measured':>22}    wanted"
    for row in tables["all"]:
        mark = " " if row.is_reached else "!"
        yield f"{row.kind:56} {row.measured:>22} {mark}  {row.wanted}"
    languages = [name for name in tables if name != "all"]
    yield ""
    yield f"{'by language':56}" + "".join(f"{name:>11} " for name in languages)
    for at, row in enumerate(tables["all"]):
        cells = [tables[name][at] for name in languages]
        marks = (f"{cell.short:>11}{' ' if cell.is_reached else '!'}" for cell in cells)
        yield f"{row.kind:56}{''.join(marks)}".rstrip()
    yield ""


def _json_text(tables: Mapping[str, Sequence[DayRow]], asked: argparse.Namespace) -> str:
    rows = {name: [asdict(row) for row in of_language] for name, of_language in tables.items()}
    facts = {"seed": asked.seed, "calls": asked.calls, "first_token": asked.first_token}
    return json.dumps({**facts, "tables": rows}, indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class _DayPart:
    """Some calls of a day, for one process."""

    settings: Settings
    seed: int
    numbers: range
    first_token: float


def _parts(settings: Settings, asked: argparse.Namespace) -> Iterator[_DayPart]:
    size = max(1, -(-asked.calls // (asked.jobs * _PARTS_OF_A_JOB)))
    for start in range(0, asked.calls, size):
        numbers = range(start, min(start + size, asked.calls))
        yield _DayPart(settings, asked.seed, numbers, asked.first_token)


def _played(part: _DayPart) -> list[ObservedCall]:
    return run_virtually(play_part(part.settings, part.seed, part.numbers, part.first_token))


async def play_part(
    settings: Settings, seed: int, numbers: Sequence[int], first_token: float
) -> list[ObservedCall]:
    """Play the calls of these numbers one after the other, on a `VirtualTimeLoop`.

    Raises `AgentError` if a call is refused, breaks off or has no end, and what `hosted` raises.
    """
    pace, words = Pace(is_virtual=True), _PresentWords()
    observed = list[ObservedCall]()

    def scripted(model: LanguageModel) -> LanguageModel:
        return _DayModel(model, words)

    async with hosted(settings, pace, scripted) as service:
        for number in numbers:
            script = scripted_call(seed, number, language_of(number))
            await service.prepare(())
            pace.timing = replace(script.timing, first_token=first_token)
            try:
                observed.append(await play_call(script, service.twilio, words.expect))
            except (CallRefusedError, OSError) as error:  # a call without an end is a TimeoutError
                raise AgentError(f"call {number} of the day: {error!r}") from error
    return observed


class _PresentWords:
    """What the model says now; the script of the call changes it turn by turn."""

    def __init__(self) -> None:
        self.reply = ""

    def expect(self, reply: str) -> None:
        self.reply = reply


class _DayModel(WrappedModel):
    """`ports.LanguageModel` that says the present words, a few at a time."""

    def __init__(self, model: LanguageModel, words: _PresentWords) -> None:
        super().__init__(model)
        self._words = words

    async def reply(
        self, request: ReplyRequest, pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        words = self._words.reply.split(" ")
        for at in range(0, len(words), _WORDS_OF_A_PIECE):
            yield [TextPiece(f"{' '.join(words[at : at + _WORDS_OF_A_PIECE])} ")]
        yield [Stopped(StopReason.END)]
