"""The types of a scenario, in the words of its file (`configuration/schema/scenario.schema.json`).

Times are seconds. Texts that are matched are regular expressions, without regard to case. `{name}`
in a text is replaced by the variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class ScenarioError(Exception):
    """The file cannot be used; the message names file, place and fault."""


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """Who calls."""

    number: str = "+15550109999"
    """E.164, or `client:NAME`."""
    called: str = "+15550100000"
    language: str = "en-US"
    """Of what the caller says."""


@dataclass(frozen=True, slots=True)
class Says:
    """The caller speaks when the agent has finished.

    `fragments`: the pieces in which recognition delivers it, each a final prompt; `pause` seconds
    lie between them.
    """

    words: str
    fragments: tuple[str, ...] = ()
    pause: float = 0.6
    language: str = ""
    """Empty = the caller's."""
    waits: bool = True
    """Whether the caller waits until the agent has finished; else these words follow at once."""


@dataclass(frozen=True, slots=True)
class Interrupts:
    """The caller speaks while the agent speaks: after so many words, or at a word."""

    words: str
    """Empty = a noise that stops the agent and is followed by nothing."""
    after_words: int = 0
    at: str = ""


@dataclass(frozen=True, slots=True)
class Presses:
    """The caller presses keys when the agent has finished, or at once."""

    keys: str
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Hears:
    """The agent says something within so many seconds; otherwise the scenario fails here."""

    pattern: str
    within: float = 20.0


@dataclass(frozen=True, slots=True)
class Waits:
    """The caller is silent for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LosesLine:
    """The connection between Twilio and the server breaks; the call goes on where it can."""

    error: str = "64105"


@dataclass(frozen=True, slots=True)
class HangsUp:
    """The caller hangs up when the agent has finished, or at once."""

    waits: bool = True


Step = Says | Interrupts | Presses | Hears | Waits | LosesLine | HangsUp


@dataclass(frozen=True, slots=True)
class ToolExpectation:
    """How often a tool is called with arguments that contain these."""

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    times: int | None = None
    """None = at least once."""


@dataclass(frozen=True, slots=True)
class ItemExpectation:
    """How many items the table holds under a key after the call, with these values.

    `where`: from a path such as `order.total` to a value, or to `{matches: REGEX}`.
    """

    pk: str
    sk: str
    """A prefix."""
    times: int = 1
    where: Mapping[str, object] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.pk, self.sk


@dataclass(frozen=True, slots=True)
class MessageExpectation:
    """A text message or e-mail that was sent."""

    channel: str
    """`sms` or `email`."""
    to: str
    matches: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Expectations:
    """What must be true after the call. What is not named is not checked, but for the manners.

    Manners hold for every call: no departure from the protocol, a greeting, one answer to each
    turn, no word after a cut, no dead air longer than `dead_air`, no answer that stays open, and a
    goodbye that is heard before the agent hangs up.
    """

    tools: tuple[ToolExpectation, ...] = ()
    table: tuple[ItemExpectation, ...] = ()
    messages: tuple[MessageExpectation, ...] | None = None
    """None = not checked; empty = none is sent."""
    said: tuple[str, ...] = ()
    """Heard by the caller; what was sent and cut before does not count."""
    never_said: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    """Each is said, in digits or in words."""
    language: str = ""
    """Of everything that the agent says after the last change."""
    outcome: str = ""
    """`hung-up`, `ended`, `transferred` or `refused`; empty = any."""
    transfer_to: str = ""
    dead_air: float = 6.0
    """Most seconds of silence before an answer begins."""
    first_words: float = 0.0
    """Most seconds from the caller's words to the agent's, for 95 % of the turns; 0 = any."""
    tokens: int = 0
    """Most tokens of the model, read and written; 0 = any."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario, with its variables filled in."""

    name: str
    use_case: str = ""
    """Empty = that of the caller."""
    about: str = ""
    caller: CallerIdentity = CallerIdentity()
    items: Sequence[Mapping[str, object]] = ()
    """Written to the table before the call; one that is there keeps its other attributes."""
    replies: Sequence[Sequence[object]] = ()
    """Of a scripted model: texts, and tool calls as mappings; empty = the model of the use case."""
    steps: tuple[Step, ...] = ()
    expects: Expectations = Expectations()
    variant: str = ""
    file: str = ""
    tags: frozenset[str] = frozenset()
