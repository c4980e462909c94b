"""What a conversation asks the session to do, in the order given, and a tool's outcome.

No action returns a value: its result comes back as an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.call.collector import MARK
from agent.call.consent import Consent
from agent.call.history import Recorded
from agent.call.messages import Choice, Message, ToolCall, ToolChoice
from agent.call.timers import StartTimer, StopTimer


@dataclass(frozen=True, slots=True)
class StartReply:
    """Ask the model. At most one reply runs at a time; the number `reply` is never used again."""

    reply: int
    messages: tuple[Message, ...]
    choice: ToolChoice = Choice.AUTO


@dataclass(frozen=True, slots=True)
class Speculate:
    """Ask the model before the caller's final words; at most one such reply runs beside another."""

    reply: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class AdoptReply:
    """In place of a `StartReply`: what was asked ahead is the reply, from its first event on."""

    reply: int


@dataclass(frozen=True, slots=True)
class DiscardReply:
    """Close the stream of a reply that was asked for ahead; nothing of it has had an effect."""

    reply: int


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Close the model's stream; later events of this reply are ignored."""

    reply: int


@dataclass(frozen=True, slots=True)
class Summarize:
    """Ask for a summary; answered once, unless it is cancelled or the call is over.

    One at a time, and never while a reply is written: a local server may have one slot.
    """

    summary: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class CancelSummary:
    """Close the model's stream; later events of this summary are ignored."""

    summary: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Digits that the caller has entered for a tool; sensitive ones are not shown."""

    digits: str
    is_sensitive: bool = False

    @property
    def shown(self) -> str:
        """The digits as others than the tool may read them."""
        return MARK * len(self.digits) if self.is_sensitive else self.digits

    def __repr__(self) -> str:
        return f"Entry({self.shown})"


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a tool; answered by exactly one `ToolFinished`, unless it is cancelled."""

    call: ToolCall
    is_lasting: bool = False
    """It has side effects: its start must be written down before it begins."""
    entry: Entry | None = None
    """What the caller has entered for it, if its spec has a collector."""


@dataclass(frozen=True, slots=True)
class CancelTool:
    """Stop a tool without side effects; later events of this call are ignored."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Speak:
    """Send a piece of an utterance; each utterance is closed by exactly one `is_last`."""

    utterance: int
    text: str
    is_last: bool = False
    interruptible: bool | None = None
    """Whether the caller can stop it; None = as the use case says."""
    preemptible: bool | None = None
    """Whether later speech cuts it off. Never for a stream: its next piece would cut it off."""
    language: str = ""
    """BCP 47; empty = the session's."""


@dataclass(frozen=True, slots=True)
class Play:
    """Play an audio file from a URL."""

    source: str
    loop: int = 1
    """0 = 1,000 times."""
    preemptible: bool = True
    interruptible: bool | None = None
    lasts_ms: int = 0
    """How long it takes to play; 0 = not known."""


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Send keypad tones, at least one: `0`-`9`, `*`, `#` and `w` (half a second of pause)."""

    digits: str


@dataclass(frozen=True, slots=True)
class SwitchLanguage:
    """Change text-to-speech to a BCP 47 tag, and speech-to-text with it."""

    language: str
    voice_only: bool = False
    """Speech-to-text goes on finding the language itself."""


@dataclass(frozen=True, slots=True)
class Record:
    """Store this fact at this position, in place of an earlier version; idempotent."""

    position: int
    fact: Recorded
    is_growing: bool = field(default=False, compare=False)
    """Words follow: a later version replaces this one soon, so it is not urgent."""


@dataclass(frozen=True, slots=True)
class StampConsent:
    """Store with the call that the caller has given or refused consent."""

    consent: Consent


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Record the call at the carrier; idempotent. After consent, or a disclosure that suffices."""

    channels: str
    """`mono` or `dual`."""


@dataclass(frozen=True, slots=True)
class EndCall:
    """End the relay session; the carrier then requests the action URL."""

    handoff: str = ""
    """JSON text for the action URL; empty = none."""


TransportAction = Speak | Play | SendDigits | SwitchLanguage | EndCall
AheadAction = Speculate | AdoptReply | DiscardReply
SummaryAction = Summarize | CancelSummary
ModelAction = StartReply | CancelReply | AheadAction | SummaryAction | RunTool | CancelTool
ConsentAction = StampConsent | StartRecording
Action = ModelAction | TransportAction | ConsentAction | Record | StartTimer | StopTimer


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call once the goodbye was heard; a caller who speaks before that revokes it."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """Transfer the call to a person once the announcement was heard; cannot be revoked."""

    reason: str
    summary: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RepeatLast:
    """Say the agent's last words again in place of an answer."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait silently for a caller who needs a moment."""


@dataclass(frozen=True, slots=True)
class SkipTurn:
    """Say nothing: it is the caller's turn again."""


@dataclass(frozen=True, slots=True)
class PromiseCallBack:
    """Tell the caller, in place of an answer, that a call back is noted."""


Effect = (
    HangUp | Handoff | Play | SendDigits | SwitchLanguage
    | RepeatLast | Hold | SkipTurn | PromiseCallBack
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """The one outcome of a tool run."""

    content: str
    """JSON text for the model, never blank, bounded by the tool framework."""
    is_error: bool = False
    effect: Effect | None = None
