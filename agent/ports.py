"""The interfaces between the rooms: what the service needs from outside, as small Protocols.

Adapters implement them, `agent.app` chooses the adapters, and all other modules know only these
types. A method that implements a port has its contract here; its errors are those of
`agent.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from agent.call.actions import (
    Action,
    Entry,
    Speak,
    StartReply,
    ToolOutcome,
    TransportAction,
)
from agent.call.config import CallConfig
from agent.call.events import AllowanceSpent, Event
from agent.call.history import Recorded
from agent.call.messages import ReplyPiece, ReplyRequest, ToolCall


class Count(Protocol):
    """Records every metric; the metrics are declared in `agent.observability.metrics`."""

    def __call__(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        """Record an amount: added to a counter, a gauge's new value, a histogram's observation.

        Never waits. `metric` is a literal, as a test checks every call in the code; `labels` are
        exactly those of the metric, each from a bounded set.
        """


def uncounted(metric: str, amount: float = 1, /, **labels: str) -> None:
    """`Count` that ignores everything."""


Item = dict[str, object]
"""One item of the table: `pk`, `sk` and attributes of JSON's types."""
Key = tuple[str, str]
"""`pk` and `sk` of an item, neither empty."""


class Store(Protocol):
    """The table: items by key.

    Every method raises `StoreError` if the table cannot be reached or fails, and
    `StoreRefusedError` for an item or key that no table can hold. Reads are strongly consistent,
    except `query_index`. An item whose `expireAt` (epoch seconds) has passed is absent, for reads
    and for conditions. Keys are text and not empty, index keys too: an item with an empty `pk1` or
    `sk1` is refused, one without them is not in the index.
    """

    async def get(self, pk: str, sk: str) -> Item | None:
        """The item with this key."""

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """The items with these keys (at most 100), in their order, in one round trip."""

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        """Replace an item. With `only_if_absent`, False and no write if it exists.

        `beside`: at most 99 items with other keys, which are replaced in the same transaction:
        they are written if and only if the first one is.
        """

    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        """Replace an item, unless it exists with an equal or greater `sequence` (then False).

        So writes that overtake each other, or are repeated, leave the latest. `sequence` is an int;
        an item without one counts as older. With `may_wait`, a table that gains by writing several
        items together may begin up to 40 ms later, after what is asked of it meanwhile. `beside`:
        as in `put`.
        """

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        """Set these attributes and keep all others; creates the item."""

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        """All items of a partition whose sort key begins so, in the order of `sk`."""

    async def query_index(self, pk1: str, sk1_prefix: str = "", *, first: int = 0) -> list[Item]:
        """As `query`, on the index `index-1-full`, in the order of `sk1`.

        `first`: at most so many are read; 0 = all.
        """

    async def find_text(self, text: str) -> frozenset[str] | None:
        """The partitions whose facts contain this text, see `agent.store.call_state.fact_words`.

        None: the table has no index of it, and the facts must be read.
        """

    async def move(self, pk: str, sk: str, item: Item, *, beside: Sequence[Item] = ()) -> bool:
        """Delete one item and write another, atomically; False and no write if it is absent.

        `beside`: as in `put`.
        """

    async def delete(self, pk: str, sk: str) -> None:
        """Delete one item; does nothing if it is absent."""

    async def scrub(self) -> None:
        """Leave no byte of what was deleted in files of the table; takes as long as it takes."""

    async def close(self) -> None:
        """Release files and connections; called once, at the end."""


Channel = Literal["sms", "email"]


@dataclass(frozen=True, slots=True)
class TextMessage:
    """An SMS; both numbers are E.164."""

    sender: str
    recipient: str
    body: str
    reference: str = field(default="", compare=False)
    """What the carrier's reports of it are to name: no personal data, safe in a URL."""


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail from our address to a validated one; `html` is escaped, `name` may be empty."""

    recipient: str
    name: str
    subject: str
    html: str


class Messenger(Protocol):
    """Sends messages outside of a call.

    Both methods send at most once, never retry, and end within seconds. They raise
    `MessageRefusedError` if nothing was sent, also if the channel is not configured, and
    `MessageError` if it is not known whether the message was sent.
    """

    @property
    def unconfigured(self) -> Mapping[Channel, str]:
        """The channels that cannot be used, each with the variable that is not set."""

    async def text(self, message: TextMessage) -> str:
        """Send an SMS; returns the id of the carrier."""

    async def mail(self, mail: Mail) -> None:
        """Send an e-mail."""


Pause = Callable[[], float]
"""Seconds to wait now; 0 = none."""


def no_pause() -> float:
    """`Pause` for a reader who waits for every piece."""
    return 0.0


class LanguageModel(Protocol):
    """A model, bound to one use case."""

    @property
    def name(self) -> str:
        """The model's identifier, for metrics: a bounded set."""

    async def warm(self) -> None:
        """Open a connection if there is none. Never raises."""

    def reply(
        self, request: ReplyRequest, pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        """Stream one reply: texts and complete tool calls, `Stopped`, then perhaps `Usage`.

        Pieces that have arrived together are given out together, in order, at least one at a time.
        `pause` is asked before each read until `Stopped` how long to leave the response unread: the
        usage follows at once, as a caller may hang up after the last word. Closing the
        generator closes the stream. Without `Stopped` the reply was cut off. Raises `ModelError`,
        before the first piece or after any other.
        """


class Configuration(Protocol):
    """The configuration of one call, which may be edited during the call."""

    @property
    def model(self) -> LanguageModel:
        """The present model."""

    @property
    def toolbox(self) -> ToolExecutor:
        """The present tools."""

    def request(self, action: StartReply) -> ReplyRequest:
        """Complete a request with what the conversation does not know: prompt, tools, settings."""

    async def refresh(self) -> CallConfig | None:
        """Read what was edited; returns the new config, None if nothing changed. Never raises."""


class ToolExecutor(Protocol):
    """The tools of one call."""

    async def run(self, call: ToolCall, entry: Entry | None = None) -> ToolOutcome:
        """Run one tool within its time limit. Raises nothing but `CancelledError`.

        `entry` is what the caller has entered for it. The outcome holds no sensitive digits.
        """


class Dialer(Protocol):
    """Makes outbound calls. Every method raises `DialError`."""

    async def dial(self, to: str, caller_id: str, url: str, status_url: str) -> str:
        """Call an E.164 number from one of the account; returns the SID of the call, which rings.

        `url` returns the TwiML when it is known who answered; `status_url` gets how the call ended.
        """

    async def status(self, call_sid: str) -> str:
        """The state of a call, in the carrier's word."""


class Recorder(Protocol):
    """Records live calls at the carrier; every method may raise `RecordingError`."""

    async def start(self, call_sid: str, channels: str) -> str:
        """Begin to record a call in `mono` or `dual`; returns the id of the recording."""

    async def recordings(self, call_sid: str) -> list[str]:
        """The ids of all recordings of a call."""

    async def delete(self, recording_sid: str) -> None:
        """Delete a recording; one that is gone is no error."""


class Allowance(Protocol):
    """What the models of a call may still use."""

    @property
    def spent(self) -> AllowanceSpent | None:
        """The limit that is reached, as far as this process knows; None = none."""

    async def look(self) -> None:
        """Read what the caller has used in other calls. Never raises."""


class Journal(Protocol):
    """Stores the facts of one call, without delaying speech."""

    def record(self, position: int, fact: Recorded, *, is_growing: bool = False) -> None:
        """Store a fact soon, in place of an earlier one of this position. Never waits or raises.

        Of a fact that is growing not every version needs to be stored.
        """

    async def flush(self, seconds: float) -> int:
        """Wait until all facts are written, at most so long; returns how many are not."""


class Transport(Protocol):
    """The connection to the caller: a relay socket, or a terminal."""

    def events(self) -> AsyncGenerator[Event, None]:
        """The events of the connection, in order; ends when it is lost."""

    async def send(self, action: TransportAction) -> None:
        """Carry out one action; does nothing when the connection is lost."""

    async def close(self) -> None:
        """Hang up; does nothing when the connection is lost."""


class ObservedStep(NamedTuple):
    """One event of a call and the actions that followed; times are seconds of the loop's clock."""

    event: Event
    received_at: float
    """When an event of the transport was read, or any other entered the inbox."""
    timed_actions: Sequence[tuple[Action, float]]
    """In order, each with a timestamp taken just before it was carried out: the peer may receive a
    frame before the write returns."""

    @property
    def actions(self) -> list[Action]:
        return [action for action, _ in self.timed_actions]

    @property
    def done_at(self) -> float:
        """When the event was answered: at the last speech, otherwise at the last action."""
        spoken = [at for action, at in self.timed_actions if isinstance(action, Speak)]
        return max(spoken or [at for _, at in self.timed_actions], default=self.received_at)


class Observer(Protocol):
    """Sees each event of a call with its actions, for metrics, logs, traces and recordings."""

    def observe(self, moment: ObservedStep) -> None:
        """Called on the loop after the actions were carried out; must neither wait nor raise."""
