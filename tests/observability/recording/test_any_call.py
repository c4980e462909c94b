"""The record of any call leads to the same decisions when it is replayed."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings

from agent.call import events as ev
from agent.call.actions import Action
from agent.call.resumption import ResumeCause, Resumption
from agent.observability.recording.redacted_record import redacted_fact, redacted_record
from agent.observability.recording.replay import Today, replay
from agent.observability.recording.serialization import (
    RecordedConnection,
    facts_of,
    read_chunks,
)
from agent.observability.recording.turn_bars import turns_of_steps
from agent.ports import Item
from agent.simulator.virtual_time import run_virtually
from agent.usecases.redaction import Redactor
from tests.call.test_rules import Adversary
from tests.call.world import World
from tests.observability.recording.taping import ASKS, STAMP, Tape, beginning, chunks


class TapedWorld(World):
    """A world that keeps what happened, line by line."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tapes = [Tape(beginning(self.config))]

    def happen(self, event: ev.Event) -> list[Action]:
        actions = super().happen(event)
        self.tapes[-1].seen.append((event, actions, 0.1))
        return actions

    def resume(self, cause: ResumeCause) -> None:
        facts = [self.journal[at] for at in range(len(self.journal))]
        is_cut_off = self.began_at == len(facts)
        super().resume(cause)
        language = self.language or ""
        resumption = Resumption(facts, cause, is_cut_off, language=language)
        self.tapes.append(Tape(beginning(self.config, resumption)))


class TapedAdversary(Adversary):
    """The adversary of the conversation, on tape."""

    world_type = TapedWorld

    def teardown(self) -> None:
        """The record is the call, and it is decided again as it was."""
        super().teardown()
        world = self.world
        if world.is_broken or not isinstance(world, TapedWorld):
            return
        items = run_virtually(chunks(world.tapes))
        lines = read_chunks(items)
        outcome = replay(lines)
        today = replay(lines[:1], Today(world.tapes[0].beginning.brief, STAMP, ASKS))

        played = [[step.event for step in line.steps] for line in lines]
        assert played == [[event for event, *_ in tape.seen] for tape in world.tapes]
        assert [line.beginning for line in lines] == [tape.beginning for tape in world.tapes]
        assert outcome.is_same, outcome.acts
        assert outcome.events == sum(len(tape.seen) for tape in world.tapes)
        assert today.asks is None
        self._redacts(items)

    def _redacts(self, items: Sequence[Item]) -> None:
        """The redacted record has the same events, times, turns and, with placeholders, facts."""
        redactor = Redactor()
        kept = [{**item, "lines": text} for item, text in redacted_record(items, redactor)]
        again = [{**item, "lines": text} for item, text in redacted_record(kept[::-1], redactor)]
        before, after = read_chunks(items), read_chunks(kept[::-1])

        assert [_outline(line) for line in after] == [_outline(line) for line in before]
        assert [facts_of(line) for line in after] == [
            {at: (redacted_fact(fact, redactor), ms) for at, (fact, ms) in facts_of(line).items()}
            for line in before
        ]
        assert all(line.beginning.is_redacted for line in after)
        assert again == kept


def _outline(line: RecordedConnection) -> list[object]:
    steps = [(type(step.event), step.at_ms, step.took_ms) for step in line.steps]
    return [*steps, line.end, [turn.spans for turn in turns_of_steps(line.steps)]]


TestAnyCall = TapedAdversary.TestCase
TestAnyCall.settings = settings(max_examples=40, stateful_step_count=40)
