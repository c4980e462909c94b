"""Everything the conversation can ask for.

The session carries actions out in the order given. None of them answers: whatever comes of an
action comes back as an event.

What a finished tool leaves behind: a result for the model and perhaps an effect on the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.call.history import Recorded
from agent.call.messages import Choice, Message, ToolCall, ToolChoice


@dataclass(frozen=True, slots=True)
class StartReply:
    """Ask the model. At most one reply runs at a time; `reply` is never used again."""

    reply: int
    messages: tuple[Message, ...]
    choice: ToolChoice = Choice.AUTO


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Close the model's stream now. Nothing of this reply is of interest any more."""

    reply: int


@dataclass(frozen=True, slots=True)
class Summarize:
    """Ask the model for a summary, in the background; at most one is asked for at a time.

    Answered by exactly one `Summarized` or `SummaryFailed`; dropped when the call is over.
    """

    summary: int
    """Its number; never used again."""
    messages: tuple[Message, ...]
    """What is to be summarised, to be sent with `compaction.SUMMARIZE`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where in the call a tool is called, as positions of facts: a resumed call keeps them."""

    position: int = 0
    """Of the tool call itself."""
    answered: int = -1
    """Of the words of the model that the caller has answered, with words or keys, when the model
    was asked; -1 = of none."""


NOWHERE = Standing()
"""Nothing has been answered."""


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a tool; answered by exactly one `ToolFinished`, unless it is cancelled."""

    call: ToolCall
    is_lasting: bool = False
    """It may change the world: that it was begun must be kept before it begins."""
    standing: Standing = field(default=NOWHERE, compare=False)
    """Not compared: it follows from the facts so far."""


@dataclass(frozen=True, slots=True)
class CancelTool:
    """Stop a tool without side effects. Nothing more of this call is of interest."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Speak:
    """Say a piece of an utterance; each utterance is closed by exactly one `is_last`."""

    utterance: int
    text: str
    is_last: bool = False
    interruptible: bool | None = None
    """Whether the caller can stop this text; None = as the use case says."""
    preemptible: bool | None = None
    """Whether what is said later cuts this text off; None = as the use case says. Never set it
    for a streamed reply: its next piece would cut it off (relay reference section 3.4)."""


@dataclass(frozen=True, slots=True)
class Play:
    """Play an audio file."""

    source: str
    """A URL that the relay can fetch."""
    loop: int = 1
    """0 = a thousand times."""
    preemptible: bool = True
    """Whether what is said next cuts it off."""
    interruptible: bool | None = None
    """Whether the caller can stop it; None = as the use case says."""


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Send keypad tones to the other side."""

    digits: str
    """Non-empty, of `0`-`9`, `*`, `#` and `w` (half a second of pause)."""


@dataclass(frozen=True, slots=True)
class SwitchLanguage:
    """Change speech-to-text and text-to-speech together."""

    language: str
    """BCP 47 tag."""


@dataclass(frozen=True, slots=True)
class Record:
    """Keep this fact at this position; replaces what stood there. Repeating it changes nothing."""

    position: int
    fact: Recorded


class Timer(StrEnum):
    """The clocks of a call; each runs at most once at a time."""

    FLUSH = "flush"
    """No token came for a while: say the clause that is ready."""
    HOLD = "hold"
    """The caller seems not to have finished: answer only if nothing follows."""
    REPEAT = "repeat"
    """The caller's words are new: speech recognition may still give them again."""
    RETRY = "retry"
    """The model has failed again: it is asked once more."""
    FILLER = "filler"
    """Somebody keeps the caller waiting: say so."""
    PLAYBACK = "playback"
    """The latest time at which what was said has been heard."""
    IDLE = "idle"
    """Nobody says anything."""
    DIGITS = "digits"
    """No further key: the entry is complete."""
    TROUBLE = "trouble"
    """No answer could be had for so long that there is no use in trying again."""
    DURATION = "duration"
    """The longest a call may last."""
    CLOSING = "closing"
    """The relay was told to end and has not."""


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Fire `TimerFired(timer, serial)` then; replaces a running timer of the same name."""

    timer: Timer
    serial: int
    after_ms: int


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Stop a timer; harmless if it has just fired."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class EndCall:
    """Give the call back to the carrier, which then asks the action URL what to do."""

    handoff: str = ""
    """JSON text for the action URL; empty = nothing to hand over."""


TransportAction = Speak | Play | SendDigits | SwitchLanguage | EndCall
"""What the line carries out."""

Action = (
    StartReply
    | CancelReply
    | Summarize
    | RunTool
    | CancelTool
    | TransportAction
    | Record
    | StartTimer
    | StopTimer
)


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call once the goodbye was heard; a caller who speaks before that takes it back."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """Pass the call to a person once the sentence about it was heard; cannot be taken back."""

    reason: str
    summary: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)
    """What was found out so far, by name."""


Ending = HangUp | Handoff
Effect = Ending | Play | SendDigits | SwitchLanguage


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """The one outcome of a tool run."""

    content: str
    """JSON text for the model, never blank, bounded by the tool framework."""
    is_error: bool = False
    effect: Effect | None = None
