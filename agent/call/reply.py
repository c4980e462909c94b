"""The latest reply of the model: whether it is written still, and what of it is withheld."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.call.actions import Action, CancelReply
from agent.call.events import ReplyDelta, ReplyFailed, ReplyFinished
from agent.call.messages import Choice, StopReason, ToolChoice
from agent.call.sentence_chunker import SentenceChunker

ReplyEvent = ReplyDelta | ReplyFinished | ReplyFailed


@dataclass(slots=True)
class Reply:
    """The latest reply of the model, active or not; numbers begin after `number`."""

    number: int = 0
    is_active: bool = False
    choice: ToolChoice = Choice.AUTO
    chunker: SentenceChunker = field(default_factory=SentenceChunker)
    withheld: list[ReplyEvent] = field(default_factory=list)
    held: str = ""  # the words of a reply that has to call a tool, until it has ended

    @property
    def is_awaited(self) -> bool:
        """Whether the model still writes it; a finished one may be withheld."""
        is_over = self.withheld and not isinstance(self.withheld[-1], ReplyDelta)
        return self.is_active and not is_over

    def start(self, choice: ToolChoice, language: str) -> int:
        self.number += 1
        self.is_active = True
        self.choice = choice
        self.chunker = SentenceChunker(language)
        self.withheld, self.held = [], ""
        return self.number

    def finish(self, stop: StopReason, text: str) -> str:
        self.is_active = False
        if stop is StopReason.BLOCKED:
            return self.chunker.feed(text)
        return self.chunker.finish(text, is_cut_short=stop is StopReason.LENGTH)

    def cancel(self) -> list[Action]:
        cancelled: list[Action] = [CancelReply(self.number)] if self.is_awaited else []
        self.is_active, self.withheld = False, []
        return cancelled
