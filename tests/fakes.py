"""Hand-written stand-ins; each passes the contract suite of the port it stands in for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.call.actions import Action
from agent.call.events import Event
from agent.ports import Channel, ObservedStep
from agent.tools import TOOLS, HttpTools, ToolRegistry
from agent.tools.http.http_messages import HttpResponse
from agent.tools.http.outbound_http import HttpRequest, UnreachableError
from agent.usecases.host_allowlist import HostAllowlist


class Clock:
    """Seconds, moved by hand; of the epoch where it matters."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class Counted:
    """`ports.Count` that keeps what it is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, dict[str, str]]] = []

    def __call__(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        self.seen.append((metric, amount, labels))

    def amounts(self, metric: str, **labels: str) -> list[float]:
        """All amounts of one series."""
        return [amount for name, amount, has in self.seen if (name, has) == (metric, labels)]

    def value(self, metric: str, **labels: str) -> float:
        """The sum of a counter, or the last value of a gauge; 0 if there is none."""
        amounts = self.amounts(metric, **labels)
        return sum(amounts) if metric.endswith("_total") else (amounts or [0.0])[-1]

    def by(self, label: str, metric: str) -> dict[str, float]:
        """The value for each value of the metric's one label."""
        found = {has[label] for name, _, has in self.seen if name == metric}
        return {each: self.value(metric, **{label: each}) for each in found}


def moment(
    event: Event, actions: Sequence[Action], at: float, done_at: float = 0.0
) -> ObservedStep:
    """What an observer sees of an event; it is answered at once unless the test says otherwise."""
    return ObservedStep(event, at, [(action, max(at, done_at)) for action in actions])


class Nowhere:
    """`requests.Sender` without a way out."""

    hosts = HostAllowlist()

    async def send(self, request: HttpRequest, seconds: float) -> HttpResponse:
        raise UnreachableError("there is no way out")


UNREACHABLE: Mapping[Channel, str] = {"sms": "TWILIO_ACCOUNT_SID", "email": "SENDGRID_API_KEY"}
"""What a service lacks that is not configured for messages."""

TOOL_REGISTRY = ToolRegistry(TOOLS, UNREACHABLE, HttpTools(Nowhere(), {}))
"""All that is built in, in a process that sends no requests."""
