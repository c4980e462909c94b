"""The record of any call leads to the same decisions when it is replayed."""

from __future__ import annotations

from hypothesis import settings

from agent.call import events as ev
from agent.call.actions import Action
from agent.call.resumption import ResumeCause, Resumption
from agent.observability.recording.replay import Today, replay
from agent.simulator.virtual_time import run_virtually
from tests.call.test_rules import Adversary
from tests.call.world import World
from tests.observability.recording.taping import ASKS, STAMP, Tape, beginning, taped


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
        lines = run_virtually(taped(world.tapes))
        outcome = replay(lines)
        today = replay(lines[:1], Today(world.tapes[0].beginning.brief, STAMP, ASKS))

        played = [[step.event for step in line.steps] for line in lines]
        assert played == [[event for event, *_ in tape.seen] for tape in world.tapes]
        assert [line.beginning for line in lines] == [tape.beginning for tape in world.tapes]
        assert outcome.is_same, outcome.acts
        assert outcome.events == sum(len(tape.seen) for tape in world.tapes)
        assert today.asks is None


TestAnyCall = TapedAdversary.TestCase
TestAnyCall.settings = settings(max_examples=40, stateful_step_count=40)
