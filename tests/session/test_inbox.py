"""The inbox of a call has a bound, and what does not fit waits for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from agent.call import events as ev
from agent.call.actions import TransportAction
from agent.call.messages import StopReason
from agent.simulator.virtual_time import run_virtually
from tests.scripted import ScriptedLine, ScriptedModel, Stage, Step

WORDS = [f"word{number} " for number in range(270)]


class StuckLine(ScriptedLine):
    """Takes nothing before the fifth second, like a socket whose peer does not read."""

    async def send(self, action: TransportAction) -> None:
        await asyncio.sleep(max(0.0, 5.0 - asyncio.get_running_loop().time()))
        await ScriptedLine.send(self, action)


class CountedScript(list[Step]):
    """A reply that counts the steps it was asked for."""

    given = 0

    def __iter__(self) -> Iterator[Step]:
        for step in super().__iter__():
            self.given += 1
            yield step


def test_model_is_not_read_ahead_of_a_line_that_is_stuck() -> None:
    """256 events wait, besides the one at work; none is lost or overtaken, nor is the drain."""
    script = CountedScript([*WORDS, StopReason.END])
    line = StuckLine([(1.0, ev.CallerSpoke("Count."))], hangs_up_at=60.0)
    stage = Stage(line, ScriptedModel([script]))

    async def call() -> int:
        session = stage.session()
        running = asyncio.create_task(session.run())
        await asyncio.sleep(4.0)
        given = script.given
        session.stop()
        await running
        return given

    assert 256 <= run_virtually(call()) <= 258
    assert stage.line.said.splitlines()[0] == "".join(WORDS).strip()
    assert [type(event) for event, _ in stage.observer.seen].count(ev.ServiceStopping) == 1
