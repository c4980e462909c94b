"""The `talk` command: calls in the terminal, with the session that runs calls on the telephone.

A line that is typed while the agent speaks interrupts it. Piped input is not paced: each line waits
until the agent has answered the one before, and the call ends with the input.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import MappingProxyType

from agent import app
from agent.cli.call_view import CallView, request_text
from agent.cli.command import PROGRAM, Commands, add_config, add_variables, read_settings
from agent.cli.edits import follow_edits
from agent.cli.local_model import NOTICE, USE_CASE, open_local_model
from agent.cli.terminal_screen import Screen, open_screen
from agent.cli.terminal_transport import CHARACTERS_PER_SECOND, KEYS, TerminalTransport
from agent.errors import AgentError, UseCaseError
from agent.llm.offline import OFFLINE_NOTICE
from agent.observability import configure_logging
from agent.session.call_manager import CallManager
from agent.session.call_setup import CallChoice
from agent.session.live_config import LiveConfiguration
from agent.settings import Settings
from agent.store.call_state.call_item import VERSTAT
from agent.tools import load_tools, specs_of
from agent.usecases import record, seed
from agent.usecases.caller_identity import identify

HELP = {
    "/help": "this list",
    "/dtmf KEYS": "press keys: /dtmf 12#",
    "WORDS ...": "a line that ends in three dots: you go on speaking",
    "/silence SECONDS": "let time pass, which is quick: /silence 9",
    "/noise": "interrupt without words",
    "/say-while-speaking N WORDS": "say WORDS when N words of the next utterance were heard",
    "/quiet": "hide or show the notes",
    "/model ID": "another model, from the next turn on",
    "/use-case NAME": "hang up, and call another agent",
    "/trace": "the latest request to the model",
    "/hangup, /exit": "end the call; also Ctrl-C and Ctrl-D",
}
HINT = "Type to speak, also while the agent speaks. /help lists commands, Ctrl-C ends the call."
_LONGEST_SILENCE_SECONDS = 600
_STEP_SECONDS = 0.1
_STEPS_TAKE_SECONDS = 0.005
"""Of real time: what happens in a step, such as a request to the table, has its turn."""
_VERIFIED = "TN-Validation-Passed-A"
"""The caller's number counts as verified: the operator chose it."""


class TalkLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward."""

    _ahead = 0.0

    def time(self) -> float:
        return super().time() + self._ahead

    async def let_pass(self, seconds: float) -> None:
        """Return after so many seconds of this clock, much earlier on any other."""
        until = self.time() + seconds
        while (left := until - self.time()) > 0:
            self._ahead += min(left, _STEP_SECONDS)
            await asyncio.sleep(_STEPS_TAKE_SECONDS)


def add(commands: Commands) -> None:
    """Add the command."""
    talking = commands.add_parser("talk", help="talk to an agent in this terminal")
    talking.add_argument(
        "--use-case", default="", metavar="NAME", help="the agent; also of callers with another one"
    )
    talking.add_argument(
        "--from", dest="caller", default="", metavar="NUMBER", help="calls from this number"
    )
    talking.add_argument(
        "--language",
        default="",
        metavar="TAG",
        help="what you type is reported as this language, for example es-US",
    )
    talking.add_argument(
        "--local-model",
        action="store_true",
        help=f"a small model on this machine, without tools; as {USE_CASE} unless told otherwise",
    )
    talking.add_argument(
        "--watch",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="load a file of the configuration when it is saved; it counts from the next turn;"
        " no effect with TABLE_NAME",
    )
    add_variables(talking)
    add_config(talking)
    talking.set_defaults(run=_run, loop=TalkLoop)


async def _run(asked: argparse.Namespace) -> int:
    settings = read_settings(asked)
    configure_logging("error", "console", with_personal=settings.log_personal_data)
    # The limits for callers do not apply to the operator's terminal.
    settings = replace(settings, caller_calls_per_hour=0, caller_tokens_per_day=0)
    if asked.caller and not identify(asked.caller):
        print(f"--from: {asked.caller} is neither an E.164 number nor client:identity")
        return 1
    screen = open_screen()
    is_paced = sys.stdin.isatty()
    async with AsyncExitStack() as stack:
        if asked.local_model:
            settings = await stack.enter_async_context(open_local_model(settings))
            screen.answer(NOTICE)
        elif settings.model_identifier.startswith("offline:"):
            screen.answer(OFFLINE_NOTICE)
        if is_paced:
            screen.answer(HINT)
        calls, _, _ = await stack.enter_async_context(app.open_calls(settings))
        calls.setup.offers_tools = not asked.local_model
        typed: asyncio.Queue[str | None] = asyncio.Queue()
        works = [_read(screen, typed)]
        if not settings.table_name:  # a table in DynamoDB is loaded by `seed` alone
            load = partial(_load, settings, calls)
            await load()
            if asked.watch:
                calls.setup.follows_edits = True
                works.append(follow_edits(settings.configuration, load, screen))
        async with _beside(*works):
            if asked.use_case:
                await _require(calls, asked.use_case)
            use_case: str | None = asked.use_case or (USE_CASE if asked.local_model else "")
            while use_case is not None:
                call = TerminalCall(
                    calls, screen, asked.caller, is_paced=is_paced, language=asked.language
                )
                use_case = await call.run(use_case, typed, dict(asked.variables))
    return 0


async def _require(calls: CallManager, name: str) -> None:
    """Raise `UseCaseError`, with the names that there are, unless a use case can be called."""
    try:
        await calls.setup.use_case(name)
    except UseCaseError as error:
        records = await calls.resources.store.query_index(record.USE_CASE)
        names = sorted(str(each["pk"]) for each in records)
        if name in names:
            raise
        raise UseCaseError(f"{error}; there are: {', '.join(names) or 'none'}") from error


async def _load(settings: Settings, calls: CallManager) -> None:
    """Load use cases, profiles and Python tools; a fault in one leaves all as they are."""
    folder, now = settings.configuration, datetime.now(settings.time_zone)
    tools = load_tools(folder)
    await seed.seed(calls.resources.store, folder, specs_of(tools), now=now)
    calls.resources.tool_registry.use(tools)
    calls.setup.edits += 1


async def _read(screen: Screen, typed: asyncio.Queue[str | None]) -> None:
    async with aclosing(screen.lines()) as lines:
        async for line in lines:
            typed.put_nowait(line)
    typed.put_nowait(None)


@asynccontextmanager
async def _beside(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run this beside the body, and end it with the body; an error of it is raised then."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


class TerminalCall:
    """One call; `is_paced`: the agent speaks at a pace, and a line interrupts it."""

    def __init__(
        self,
        calls: CallManager,
        screen: Screen,
        caller: str,
        *,
        is_paced: bool = True,
        language: str = "",
    ) -> None:
        self._calls = calls
        self._screen = screen
        self._caller = caller
        self._is_paced = is_paced
        self._call_sid = f"CA{secrets.token_hex(16)}"
        pace = CHARACTERS_PER_SECOND if is_paced else 0
        self._line = TerminalTransport(screen, pace, language)
        self._view: asyncio.Future[CallView] = asyncio.get_running_loop().create_future()
        self._next: str | None = None

    async def run(
        self,
        use_case: str,
        typed: asyncio.Queue[str | None],
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> str | None:
        """Run the call until it ends, or until None is typed.

        Returns the use case of the call that follows; None = no call follows.

        Raises:
            UseCaseError: There is no such use case, it cannot be used, or it lacks a variable.
        """
        self._calls.setup.choices[self._call_sid] = CallChoice(use_case)
        self._calls.views[self._call_sid] = self._watch
        fields = {"CallSid": self._call_sid, "From": self._caller, "To": "terminal"}
        prepared = await self._calls.prepare({**fields, VERSTAT: _VERIFIED}, variables=variables)
        if unknown := sorted(variables.keys() - prepared.use_case.variables.keys()):
            raise UseCaseError(f"--var: {prepared.use_case.name} has no variable {unknown[0]!r}")
        async with asyncio.TaskGroup() as tasks:
            listener = tasks.create_task(self._listen(typed), name="listener")
            speaker = tasks.create_task(self._line.speak(), name="voice")
            self._line.greet(prepared.greeting)
            with _hung_up_by_interrupt(self._line):
                await self._calls.run(self._call_sid, self._line)
            listener.cancel()
            speaker.cancel()
        self._screen.answer(f"{PROGRAM} show {self._call_sid}")
        return self._next

    def _watch(self, configuration: LiveConfiguration) -> CallView:
        view = CallView(self._screen, configuration, self._calls.resources.prices)
        self._view.set_result(view)
        return view

    async def _listen(self, typed: asyncio.Queue[str | None]) -> None:
        while (line := await typed.get()) is not None:
            await self._agent_has_finished()
            try:
                await self.take(line.strip())
            except AgentError as error:
                self._screen.fault(str(error))
        await self._agent_has_finished()
        self._line.hang_up()

    async def _agent_has_finished(self) -> None:
        if not self._is_paced:
            await (await self._view).until_answered()

    async def take(self, typed: str) -> None:  # noqa: C901, PLR0912 (one case for each command)
        """Act on a typed line: a command, or the caller's words."""
        command, _, rest = typed.partition(" ")
        words = rest.split()
        match command:
            case "":
                pass
            case "/dtmf" if words and set("".join(words)) <= KEYS:
                (await self._view).caller_acts()
                self._line.press("".join(words))
            case "/silence" if len(words) == 1 and words[0].isdecimal():
                await self._let_pass(min(int(words[0]), _LONGEST_SILENCE_SECONDS))
            case "/noise":
                self._line.make_noise()
            case "/say-while-speaking" if len(words) > 1 and words[0].isdecimal():
                self._line.say_at(int(words[0]), " ".join(words[1:]))
            case "/quiet":
                self._screen.is_quiet = not self._screen.is_quiet
            case "/model" if len(words) == 1:
                await self._change_model(words[0])
            case "/use-case" if len(words) == 1:
                await self._call_another(words[0])
            case "/trace":
                request = (await self._view).request
                self._screen.answer(request_text(request) if request else "no request yet")
            case "/hangup" | "/exit":
                self._line.hang_up()
            case _ if command.startswith("/"):
                self._screen.answer("\n".join(f"{name:30}{does}" for name, does in HELP.items()))
            case _ if typed.endswith("..."):
                self._line.say_piece(typed.rstrip(". "))
            case _:
                (await self._view).caller_acts()
                self._line.say(typed)

    async def _let_pass(self, seconds: float) -> None:
        """Time in which only the agent speaks; it begins when the agent has answered."""
        await (await self._view).until_answered()
        loop = asyncio.get_running_loop()
        await (loop.let_pass(seconds) if isinstance(loop, TalkLoop) else asyncio.sleep(seconds))

    async def _change_model(self, identifier: str) -> None:
        Settings.read({"MODEL_IDENTIFIER": identifier})
        await self._calls.edit(self._call_sid, {"llmModel": identifier})

    async def _call_another(self, use_case: str) -> None:
        await _require(self._calls, use_case)
        self._next = use_case
        self._line.hang_up()


@contextmanager
def _hung_up_by_interrupt(line: TerminalTransport) -> Iterator[None]:
    """End the call at the first Ctrl-C; the second one ends the command."""
    loop = asyncio.get_running_loop()

    def hang_up() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        line.hang_up()

    loop.add_signal_handler(signal.SIGINT, hang_up)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
