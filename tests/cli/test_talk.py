"""A call in a terminal is a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.cli.edits import follow_edits
from agent.cli.talk import HELP, TalkLoop, TerminalCall
from agent.cli.terminal_screen import PlainScreen
from agent.errors import UseCaseError
from agent.messaging.kept_messages import MemoryMessenger
from agent.observability import Telemetry
from agent.session import Resources
from agent.session.call_manager import CallManager
from agent.simulator.virtual_time import run_virtually
from agent.store.call_state.journal import open_journals
from agent.store.memory import MemoryStore
from agent.tools import SPECS
from agent.usecases.seed import seed
from tests.fakes import TOOL_REGISTRY, UNREACHABLE
from tests.servers import offline, opening, seeded, settings_for
from tests.waiting import until

ADA = "+15550100001"


def _now() -> float:
    return 1_900_000_000.0


@dataclass(slots=True)
class Terminal:
    """A terminal with the offline model behind it."""

    store: MemoryStore = field(default_factory=lambda: asyncio.run(seeded(MemoryStore())))
    shown: list[str] = field(default_factory=list)

    def type(
        self,
        *lines: str,
        caller: str = ADA,
        use_case: str = "",
        pauses: float | None = None,
        variables: dict[str, str] | None = None,
    ) -> str | None:
        """One call in virtual time; `pauses`: lines are typed at these intervals, in seconds.

        Returns the use case of the next call.
        """

        async def talk(calls: CallManager) -> str | None:
            typed: asyncio.Queue[str | None] = asyncio.Queue()
            screen = PlainScreen(self.shown.append)
            call = TerminalCall(calls, screen, caller, is_paced=pauses is not None)
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(call.run(use_case, typed, variables or {}))
                for line in [*lines, None]:
                    await asyncio.sleep(pauses or 0)
                    typed.put_nowait(line)
            return running.result()

        return self.run(talk)

    def run(self, work: Callable[[CallManager], Awaitable[str | None]]) -> str | None:
        async def main() -> str | None:
            async with open_journals(self.store, _now) as journals:
                resources = Resources(
                    self.store, journals, opening(offline), TOOL_REGISTRY,
                    MemoryMessenger(UNREACHABLE), Telemetry(),
                )  # fmt: skip
                calls = CallManager(settings_for(Path("unused")), resources, _now)
                following = await work(calls)
                await calls.until_quiet()
                return following

        return run_virtually(main())

    @property
    def text(self) -> str:
        return "".join(self.shown)

    def said(self) -> list[str]:
        return [line.strip() for line in self.shown if line.startswith(("agent:", "you:"))]


def test_variables_of_a_call_are_spoken_and_unknown_ones_are_refused() -> None:
    terminal = Terminal()
    edit = {"variables": {"PLAN": "basic"}, "greetingKnown": "Your plan is <<PLAN>>."}
    asyncio.run(terminal.store.merge("restaurantOrderingUseCase", "configuration", edit))

    terminal.type(variables={"PLAN": "gold"})

    assert terminal.said()[0] == "agent: Your plan is gold."
    with pytest.raises(ExceptionGroup) as raised:
        terminal.type(variables={"X": "y"})
    assert list(map(repr, raised.value.exceptions)) == [
        repr(UseCaseError("--var: restaurantOrderingUseCase has no variable 'X'"))
    ]


def test_piped_lines_wait_for_the_agent() -> None:
    """Greeting, words, tools and the end are those of a call on the telephone."""
    terminal = Terminal()

    terminal.type("a house salad for pickup", "yes", "no bye", "too late")

    said = terminal.said()
    assert said[0].startswith("agent: Hello Ada, this is Harbor Oven.")
    assert [line for line in said if line.startswith("you:")] == [
        "you: a house salad for pickup", "you: yes", "you: no bye",
    ]  # fmt: skip
    assert said[2].startswith("agent: So that is 1 House Salad, for pickup.")
    assert "The total is $10." in terminal.text
    assert "Goodbye!" in said[-1]
    assert "call ended (agent end): 3 turns" in terminal.text
    assert len(asyncio.run(terminal.store.query(ADA, "restaurantOrder::"))) == 1


def test_notes_name_tools_times_and_tokens() -> None:
    terminal = Terminal()

    terminal.type("a house salad for pickup", "yes")

    notes = [line for line in terminal.shown if line.startswith("  - ")]
    assert any(" tokens in, " in note for note in notes)
    assert any(note.startswith("  - first word after 0.") for note in notes)
    [order] = [note for note in notes if "OrderFunction" in note and "-> " in note][-1:]
    assert "House Salad" in order
    assert order.endswith(" s)\n")


def test_end_of_the_input_hangs_up() -> None:
    terminal = Terminal()

    terminal.type("hello")

    assert "call ended (caller hangup): 1 turn, 0 tools" in terminal.text
    assert terminal.shown[-1].startswith("python -m agent show CA")


def test_a_line_interrupts_the_agent_and_the_heard_part_is_shown() -> None:
    terminal = Terminal()

    terminal.type("a house salad", pauses=0.8)

    assert "agent: Hello Ada, this is Harbor Oven. H—\nyou: a house salad\n" in terminal.text
    assert "interrupted; heard: Hello Ada, this is Harbor Oven" in terminal.text


def test_use_case_of_the_command_wins_over_the_profile() -> None:
    terminal = Terminal()

    terminal.type(use_case="apartmentSearchUseCase")

    assert "Harbor Oven" not in terminal.text


@pytest.mark.parametrize(
    ("line", "answer", "following"),
    [
        ("/help", next(iter(HELP)), None),
        ("/nonsense", next(iter(HELP)), None),
        ("/dtmf abc", next(iter(HELP)), None),
        ("/use-case nope", "nope: there is no such use case", None),
        ("/use-case albertEinsteinUseCase", "caller hangup", "albertEinsteinUseCase"),
        ("/model nonsense:x", "MODEL_IDENTIFIER: must be offline:, openai:NAME", None),
        ("/trace", "no request yet", None),
        ("/exit", "caller hangup", None),
    ],
)
def test_commands_are_not_said_to_the_agent(line: str, answer: str, following: str | None) -> None:
    terminal = Terminal()

    assert terminal.type(line) == following

    assert answer in terminal.text
    assert not any(said.startswith("you:") for said in terminal.said())


def test_words_in_pieces_are_one_turn() -> None:
    terminal = Terminal()

    terminal.type("a house ...", "salad for ...", "pickup")

    assert "agent: So that is 1 House Salad, for pickup." in terminal.text
    assert "1 turn," in terminal.text


def test_silence_passes_until_the_agent_asks() -> None:
    terminal = Terminal()

    terminal.type("/silence 9", "/silence 11", "/silence 12")

    assert "agent: Are you still there?" in terminal.text
    assert "call ended (idle)" in terminal.text


def test_the_clock_of_a_conversation_in_a_terminal_can_be_put_forward() -> None:
    async def wait() -> tuple[bool, float]:
        loop, fired = asyncio.get_running_loop(), asyncio.Event()
        assert isinstance(loop, TalkLoop)
        loop.call_later(2.9, fired.set)
        began = loop.time()
        await loop.let_pass(3)
        return fired.is_set(), round(loop.time() - began)

    with asyncio.Runner(loop_factory=TalkLoop) as runner:
        assert runner.run(wait()) == (True, 3)


def test_trace_shows_the_request_and_quiet_hides_notes() -> None:
    terminal = Terminal()

    terminal.type("/quiet", "hello", "/trace")

    assert '"system": ' in terminal.text
    assert "tokens in" not in terminal.text


def test_saved_edit_is_loaded_and_a_fault_is_shown(tmp_path: Path) -> None:
    """A running call follows it; the earlier version stays when there is a fault."""
    folder = tmp_path / "use-cases" / "shop"
    folder.mkdir(parents=True)
    (tmp_path / "profiles").mkdir()
    (folder / "prompt.md").write_text("You are brief.")
    file = folder / "use-case.toml"
    file.write_text('title = "Shop"\ngreeting = "Hello."\ntools = []\n')
    store, shown = MemoryStore(), list[str]()

    async def load() -> None:
        await seed(store, tmp_path, SPECS, now=datetime.now(UTC))

    async def edit() -> None:
        following = asyncio.create_task(follow_edits(tmp_path, load, PlainScreen(shown.append)))
        await asyncio.sleep(0.1)  # it has looked at the files
        (folder / "prompt.md").write_text("You are very brief indeed.")
        await until(lambda: len(shown) == 1)
        file.write_text("title = 7\n")
        await until(lambda: len(shown) == 2)
        following.cancel()

    asyncio.run(edit())

    record = asyncio.run(store.get("shop", "configuration"))
    assert record is not None
    assert "very brief" in str(record["prompt"])
    assert shown[0] == "  - loaded shop: it counts from the next turn\n"
    assert shown[1].startswith("  - not loaded: ")


_DESK = {
    "intents": [
        {"name": "order", "phrases": ["order"], "when": ["intent.order"],
         "call": "CollectDigitsFunction"}
    ],
    "tools": {
        "CollectDigitsFunction": {
            "arguments": {"min_digits": 4, "max_digits": 6},
            "done": [{"say": "You entered {result.digits}."}],
        }
    },
    "fallback": ["Which order is it?"],
    "trouble": ["That did not work."],
    "done": ["That is done."],
}  # fmt: skip


@pytest.mark.parametrize("line", ["/dtmf 4711#", "/dtmf 4711", "four seven 11"])
def test_a_number_is_entered_by_keys_or_words(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "use-cases" / "desk"
    folder.mkdir(parents=True)
    table = 'greeting = "Hello."\ntools = ["CollectDigitsFunction"]\nkeypad.1.reply_text = "One."\n'
    (folder / "use-case.toml").write_text(table, encoding="utf-8")
    (folder / "prompt.md").write_text("You know the orders.", encoding="utf-8")
    (folder / "offline.json").write_text(json.dumps(_DESK), encoding="utf-8")
    store = MemoryStore()
    asyncio.run(seed(store, tmp_path, SPECS, now=datetime.now(UTC)))
    terminal = Terminal(store)

    terminal.type("where is my order", line, use_case="desk")

    assert terminal.said()[2] == "agent: Please enter the number on your keypad."
    assert terminal.said()[-1] == "agent: You entered 4711."
