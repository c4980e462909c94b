"""What the service needs from the world, as small structural types.

Adapters implement them, `app` chooses, everything else only knows these. Errors that cross a port:

    AgentError
    ├── RelayProtocolError   the relay sent what we cannot read
    ├── ModelError           a reply could not be made; `fault` says why
    ├── ToolError            raised by a tool; its text is for the model
    ├── StoreError           the table cannot be reached or refuses
    │   └── StoreRefusedError    and will refuse the same again for ever
    ├── MessageError         nobody knows whether a message was sent
    │   └── MessageRefusedError  it was not, that is certain; `refusal` says why
    ├── DialError            a call may not be made, or was not; `fault` says why
    └── UseCaseError         a record is not a use case; names the field and the fault
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from agent.call.actions import Action, Speak, Standing, StartReply, ToolOutcome, TransportAction
from agent.call.config import CallConfig
from agent.call.events import Event
from agent.call.history import Recorded
from agent.call.messages import ReplyPiece, ReplyRequest, ToolCall


class Count(Protocol):
    """Where everything is counted and measured; what it is called is in `docs/observing.md`."""

    def __call__(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        """Record an amount. Never waits.

        Args:
            metric: Name of a metric of `agent.observability.metrics`, a literal: a test looks at
                every call in the code.
            amount: Added to a counter; the new value of a gauge; one observation of a histogram.
            labels: Exactly the labels of the metric, each from a bounded set.
        """
        ...


def uncounted(metric: str, amount: float = 1, /, **labels: str) -> None:
    """`Count` that ignores everything."""


Item = dict[str, object]
"""One item of the table: `pk`, `sk` and attributes of JSON's types (contract section 7)."""
Key = tuple[str, str]
"""`pk` and `sk` of an item, neither empty."""


class Store(Protocol):
    """The table: items by key, in the shapes of seed sections A7 and B5.

    Every method raises `StoreError` when the table cannot be reached, or refuses, and
    `StoreRefusedError` for an item or key that no table can hold. Reads are strongly consistent
    except `query_index`. An item whose `expireAt` (epoch seconds) has passed is absent, for reads
    and for conditions. A key is text and not empty, also one of the index: an item with an empty
    `pk1` or `sk1` is refused, one without them is not in the index.
    """

    async def get(self, pk: str, sk: str) -> Item | None:
        """The item with this key."""
        ...

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """The items with these keys, in their order, in one round trip; 100 at the most."""
        ...

    async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
        """Write an item whole. False, and nothing written, if it was there and must not be."""
        ...

    async def put_newer(self, item: Item) -> bool:
        """Write an item whole, unless it is there with an equal or greater `sequence`.

        So writings of one item that overtake each other, or are repeated after a doubtful answer,
        leave the latest. `sequence` is an int; an item without one counts as older.
        """
        ...

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        """Set these attributes and leave all others; creates the item."""
        ...

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        """All items of a partition whose sort key begins so, in the order of `sk`."""
        ...

    async def query_index(self, pk1: str, sk1_prefix: str = "") -> list[Item]:
        """The same on `index-1-full`, in the order of `sk1`."""
        ...

    async def move(self, pk: str, sk: str, item: Item) -> bool:
        """Delete one item and write another, in one step or not at all.

        False, and nothing done, if the first is not there.
        """
        ...

    async def close(self) -> None:
        """Release files and connections; called once, at the end."""
        ...


Channel = Literal["sms", "email"]
"""How a caller is reached outside of the call."""


@dataclass(frozen=True, slots=True)
class TextMessage:
    """An SMS."""

    sender: str
    """E.164, as `recipient`."""
    recipient: str
    body: str


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail, from the address of this service."""

    recipient: str
    """An address that was checked."""
    name: str
    """The recipient's; may be empty."""
    subject: str
    html: str
    """Escaped."""


class Messenger(Protocol):
    """The way to people outside of a call.

    Both methods send at most once, never try again, and end within seconds. They raise
    `MessageRefusedError` if nothing was sent, also where the channel is lacking, and `MessageError`
    if that is not known.
    """

    @property
    def lacking(self) -> Mapping[Channel, str]:
        """What cannot be sent here, each with the variable that is not set for it."""
        ...

    async def text(self, message: TextMessage) -> str:
        """Send an SMS; the carrier's id for it."""
        ...

    async def mail(self, mail: Mail) -> None:
        """Send an e-mail."""
        ...


class LanguageModel(Protocol):
    """A model bound to one use case."""

    @property
    def name(self) -> str:
        """The model's identifier, for metrics: a bounded set."""
        ...

    async def warm(self) -> None:
        """Have a connection ready soon; cheap if there is one, never raises."""
        ...

    def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece, None]:
        """Stream one reply: texts and complete tool calls, `Stopped`, then perhaps `Usage`.

        Closing the generator closes the stream to the provider. A stream
        that ends without `Stopped` was cut off. Raises `ModelError`, before or between pieces.
        """
        ...


class Configuration(Protocol):
    """What answers one call; may be edited while it runs."""

    @property
    def model(self) -> LanguageModel:
        """The model in force."""
        ...

    @property
    def toolbox(self) -> ToolExecutor:
        """The tools in force."""
        ...

    def request(self, action: StartReply) -> ReplyRequest:
        """Complete a request with what the conversation does not know: prompt, tools, settings."""
        ...

    async def refresh(self) -> CallConfig | None:
        """Take over what was edited; the new brief, None if nothing is new. Never raises."""
        ...


class ToolExecutor(Protocol):
    """The tools of one call, with its context bound."""

    async def run(self, call: ToolCall, standing: Standing) -> ToolOutcome:
        """Run one tool within its time limit. Never raises but for cancellation.

        Args:
            call: As the conversation has taken it up.
            standing: Where in the call it stands: whether what was read back has been answered.
        """
        ...


class Access(Protocol):
    """Makes the tokens with which an app may call."""

    @property
    def seconds(self) -> int:
        """How long a token can be used."""
        ...

    def issue(self, identity: str) -> str:
        """A token for this identity, whose calls then come from `client:<identity>`.

        Args:
            identity: As `identify` accepts it after `client:`.
        """
        ...


class Dialer(Protocol):
    """Makes calls. Every method raises `DialError`."""

    async def dial(self, to: str, caller_id: str, url: str, status_url: str) -> str:
        """Have the carrier call a number; the SID of the call, which then rings.

        Args:
            to: E.164 number.
            caller_id: E.164 number of the account.
            url: Asked for TwiML when the call is answered and it is known by whom.
            status_url: Told how the call ended.
        """
        ...

    async def status(self, call_sid: str) -> str:
        """What has become of a call, in the carrier's word."""
        ...


class Allowance(Protocol):
    """How much a line may cost, as far as that depends on its caller."""

    @property
    def is_spent(self) -> bool:
        """As far as is known, all is used up."""
        ...

    async def look(self) -> None:
        """Find out what the caller has used elsewhere meanwhile. Never raises."""
        ...


class Journal(Protocol):
    """Where the facts of one call are kept, off the speaking path."""

    def record(self, position: int, fact: Recorded) -> None:
        """Have a fact kept; returns at once, never raises.

        Recording a position again replaces what is not yet written.
        """
        ...

    async def flush(self, seconds: float) -> int:
        """Wait until all is written, at most so long; how many facts are not."""
        ...


class Transport(Protocol):
    """The way to the caller: a relay socket, or a terminal."""

    def events(self) -> AsyncGenerator[Event, None]:
        """What happens on the line, in order; ends when the line is gone."""
        ...

    async def send(self, action: TransportAction) -> None:
        """Carry out one action. Does nothing when the line is gone."""
        ...

    async def close(self) -> None:
        """Hang up; harmless if it is gone."""
        ...


class ObservedStep(NamedTuple):
    """One event of a call, and what was done about it; times are seconds of the loop's clock.

    There is one for each word of a model, so it is the cheapest form of a value.
    """

    event: Event
    received_at: float
    """When the event came: for what happens on the line when it was read there, otherwise when it
    entered the inbox."""
    deeds: Sequence[tuple[Action, float]]
    """The actions in their order, each with the time just before it was carried out: nobody can
    have a frame before that, and may well have it before its writing is over."""

    @property
    def actions(self) -> list[Action]:
        """What was done."""
        return [action for action, _ in self.deeds]

    @property
    def done_at(self) -> float:
        """When the event was answered: with the last of the speech, without it the last action."""
        spoken = [at for action, at in self.deeds if isinstance(action, Speak)]
        return max(spoken or [at for _, at in self.deeds], default=self.received_at)


class Observer(Protocol):
    """The one hook for metrics and logs: sees each event with what the conversation made of it."""

    def observe(self, moment: ObservedStep) -> None:
        """Called on the loop after the actions were carried out: must not wait and not raise."""
        ...
