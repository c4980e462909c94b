"""What it gains to ask the model ahead of the caller's final words, and what that costs.

    python benchmarks/speculation.py [--calls 200] [--seed 0] [--first-token 0.6]

Plays the calls of the scripted day (`agent/scenarios/day`) on virtual time on the whole service,
without speculation and with it. A scripted model answers after `--first-token` seconds. Measured on
the caller's side: the time from a turn's last final prompt to the first text frame, the requests
that reached the model, and turns that were answered before they were complete.

How recognition behaves decides the result, and Twilio publishes nothing of it; so what is assumed
is here, and the delay is varied:

- A partial prompt every 0.2 to 0.3 s until the final prompt, if its words have changed: what was
  said until then, delivered after the delay. Deepgram's Flux gives an update about every 0.25 s,
  its Nova models about every second.
- The final prompt 0.7 s after the voice has ended, as in the day, whatever the delay.
- The end of the voice (`clientSpeaking` off) after the same delay.
- In one turn of eight, the last word is heard wrong until the final prompt.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from agent.call.messages import ReplyPiece, ReplyRequest, Stopped, StopReason, TextPiece
from agent.cli.evaluation.hosted_service import hosted, hosted_settings
from agent.cli.evaluation.paced_model import Pace, WrappedModel
from agent.observability import configure_logging
from agent.ports import LanguageModel, Pause, no_pause
from agent.scenarios.day.call_grammar import language_of, scripted_call
from agent.scenarios.day.observed_call import SILENCE_SECONDS
from agent.scenarios.day.scripted_call import CallerManner, ScriptedCall, ScriptedTurn
from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.simulated_call import TwilioCall
from agent.simulator.virtual_time import run_virtually

_DELAYS = (0.0, 0.1, 0.2, 0.3)
"""Of recognition, in seconds."""
_WRONG_WORD = 0.125
_PATIENCE_SECONDS = 7.5


@dataclass(slots=True)
class Figures:
    """What was measured in one run; times are seconds."""

    same: list[float] = field(default_factory=list)
    """To the first text, in turns whose last partial prompt had the words of the final one."""
    ahead: list[float] = field(default_factory=list)
    """In the same turns, from the last partial prompt to the final one: all that can be gained."""
    every: list[float] = field(default_factory=list)
    unanswered: int = 0
    early: int = 0
    """Turns in which the agent began to speak before the last word."""
    requests: int = 0


class _Model(WrappedModel):
    """`ports.LanguageModel` that says the present words, and counts."""

    def __init__(self, model: LanguageModel, present: _Present) -> None:
        super().__init__(model)
        self._present = present

    async def reply(
        self, request: ReplyRequest, pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        self._present.figures.requests += 1
        words = self._present.reply.split(" ")
        for at in range(0, len(words), 5):
            yield [TextPiece(f"{' '.join(words[at : at + 5])} ")]
        yield [Stopped(StopReason.END)]


@dataclass(slots=True)
class _Present:
    figures: Figures
    reply: str = ""


@dataclass(frozen=True, slots=True, order=True)
class _Act:
    """What the line does at a moment of a turn."""

    at: float
    kind: str
    """`voice`, `silence`, `partial`, `final`, `end` (of the last word)."""
    words: str = ""


def acts(
    script: ScriptedCall, turn: ScriptedTurn, delay: float, chance: random.Random
) -> list[_Act]:
    """One turn of the caller as its line sees it; times from its beginning."""
    found, ends, at, said = list[_Act](), list[tuple[float, str]](), 0.0, ""
    since, wrong = 0, chance.random() < _WRONG_WORD
    for piece in turn.pieces:
        began, spoken = at, piece.words.split()
        found.append(_Act(at, "voice", piece.words))
        for word in spoken:
            at += max(1, sum(map(str.isdigit, word))) / script.timing.caller_pace
            ends.append((at, word))
        is_last = piece is turn.pieces[-1]
        if delay < piece.pause or is_last:
            found.append(_Act(at + delay, "silence"))
        said = f"{said} {piece.words}".strip()
        is_final = piece.pause >= SILENCE_SECONDS or is_last
        until = at + (SILENCE_SECONDS if is_final else piece.pause)
        heard = " ".join(word for _, word in ends[since:])
        tick, before = began, ""
        while (tick := tick + chance.uniform(0.2, 0.3)) + delay < until:
            words = [word for end, word in ends[since:] if end <= tick]
            if wrong and is_last and words and " ".join(words) == heard:
                words[-1] += "s"
            if words and (text := " ".join(words)) != before:
                found.append(_Act(tick + delay, "partial", script.written(text)))
                before = text
        if is_last:
            found.append(_Act(at, "end"))
        if is_final:
            found.append(_Act(until, "final", script.written(said)))
            said, since = "", len(ends)
        at += piece.pause
    return sorted(found)


async def _play_turn(
    session: TwilioCall, script: ScriptedCall, moments: Sequence[_Act], figures: Figures
) -> None:
    loop = asyncio.get_running_loop()
    began, asked, ended, ahead, partial, is_same = loop.time(), 0.0, 0.0, 0.0, "", False
    for act in moments:
        await session.wait_until(lambda: False, max(0.0, began + act.at - loop.time()))
        if session.session.ending is not None:
            return
        match act.kind:
            case "voice":
                await session.begin_to_speak(act.words)
            case "silence":
                await session.stop_speaking()
            case "end":
                ended = loop.time()
            case _:
                is_final = act.kind == "final"
                is_same = partial.casefold() == act.words.casefold()
                ahead = loop.time() - asked if is_final else 0.0
                asked, partial = loop.time(), act.words
                await session.prompt(act.words, is_final=is_final, language=script.language)
    cycles = session.ledger.cycles
    is_answered = await session.wait_until(
        lambda: any(each.opened_at >= asked for each in cycles), _PATIENCE_SECONDS
    )
    figures.early += any(began <= each.opened_at < ended for each in cycles)
    if not is_answered:
        figures.unanswered += 1
        return
    seconds = next(each.opened_at for each in cycles if each.opened_at >= asked) - asked
    figures.every.append(seconds)
    if is_same:
        figures.same.append(seconds)
        figures.ahead.append(ahead)


async def _play_call(
    script: ScriptedCall, twilio: Twilio, present: _Present, delay: float, seed: int
) -> None:
    chance = random.Random(f"{seed} {script.number} line")
    manner = replace(twilio.manner, pace=script.timing.agent_pace, language=script.language)
    fields = call_fields(AccountSid=twilio.account, From="+15550109999")
    async with twilio.call(manner=manner, **fields) as session:
        await _hear_out(session, script)
        for turn in script.turns:
            if turn.manner is CallerManner.MOMENT or session.session.ending is not None:
                continue
            present.reply = turn.reply
            await _play_turn(session, script, acts(script, turn, delay, chance), present.figures)
            await _hear_out(session, script)


async def _hear_out(session: TwilioCall, script: ScriptedCall) -> None:
    def is_silent() -> bool:
        return session.ledger.open_cycle is None and not session.playback.is_playing

    await session.wait_until(is_silent, 60.0)
    await session.wait_until(lambda: False, script.timing.reaction)


async def _play(configuration: Path, asked: argparse.Namespace, delay: float) -> Figures:
    pace, present = Pace(is_virtual=True), _Present(Figures())
    settings = hosted_settings(str(configuration))
    async with hosted(settings, pace, lambda model: _Model(model, present)) as service:
        for number in range(asked.calls):
            script = scripted_call(asked.seed, number, language_of(number))
            await service.prepare(())
            pace.timing = replace(script.timing, first_token=asked.first_token)
            await _play_call(script, service.twilio, present, delay, asked.seed)
    return present.figures


def _configured(folder: Path, *, speculates: bool) -> Path:
    """The shipped configuration, with or without speculation in each use case."""
    copied = folder / str(speculates)
    shutil.copytree(ROOT / "configuration", copied)
    for file in copied.glob("use-cases/*/use-case.toml"):
        header, line = "[turn_taking]\n", f"speculates = {str(speculates).lower()}\n"
        before, found, after = file.read_text().partition(header)
        added = (found or f"\n{header}") + line
        file.write_text(before + added + after)
    return copied


def _lines(runs: Sequence[tuple[float, Figures, Figures]], first_token: float) -> Iterator[str]:
    yield f"{'':44}" + "".join(f"{delay * 1000:>10.0f} ms" for delay, _, _ in runs)
    rows: tuple[tuple[str, Callable[[Figures, Figures], str]], ...] = (
        ("turns", lambda off, on: f"{len(on.every)}"),
        ("median to the first text, without", lambda off, on: f"{median(off.every):.3f} s"),
        ("median to the first text, with", lambda off, on: f"{median(on.every):.3f} s"),
        ("  lower by", lambda off, on: f"{1 - median(on.every) / median(off.every):.0%}"),
        ("mean, without", lambda off, on: f"{mean(off.every):.3f} s"),
        ("mean, with", lambda off, on: f"{mean(on.every):.3f} s"),
        ("  lower by", lambda off, on: f"{1 - mean(on.every) / mean(off.every):.0%}"),
        ("last partial = final, share", lambda off, on: f"{len(on.same) / len(on.every):.0%}"),
        ("  median, without", lambda off, on: f"{median(off.same):.3f} s"),
        ("  median, with", lambda off, on: f"{median(on.same):.3f} s"),
        ("  at the earliest", lambda off, on: f"{median(_earliest(on, first_token)):.3f} s"),
        ("requests, without", lambda off, on: f"{off.requests}"),
        ("requests, with", lambda off, on: f"{on.requests}"),
        ("  more by", lambda off, on: f"{on.requests / off.requests - 1:.1%}"),
        ("answered before the last word, without", lambda off, on: f"{off.early}"),
        ("answered before the last word, with", lambda off, on: f"{on.early}"),
        ("no answer within 7.5 s, without / with", lambda a, b: f"{a.unanswered} / {b.unanswered}"),
    )
    for name, measured in rows:
        yield f"{name:44}" + "".join(f"{measured(off, on):>13}" for _, off, on in runs)


def _earliest(figures: Figures, first_token: float) -> list[float]:
    """When the first text could come if the model was asked at once with the last partial words."""
    return [max(0.0, first_token - ahead) for ahead in figures.ahead]


def main() -> None:
    """Play all runs and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first-token", type=float, default=0.6)
    parser.add_argument("--delays", type=float, nargs="+", default=_DELAYS)
    asked = parser.parse_args()
    configure_logging("critical", "console")
    with TemporaryDirectory() as folder:
        off = _configured(Path(folder), speculates=False)
        on = _configured(Path(folder), speculates=True)
        runs = [
            (delay, *(run_virtually(_play(each, asked, delay)) for each in (off, on)))
            for delay in asked.delays
        ]
    for line in _lines(runs, asked.first_token):
        print(line)


if __name__ == "__main__":
    main()
