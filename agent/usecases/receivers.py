"""Who is told of events: `receivers.toml` of the configuration folder, and its item in the table.

    [receivers.crm]
    url = "https://crm.example.com/hooks/voice"
    secret = "CRM_WEBHOOK_SECRET"       # a variable; its value signs the requests
    events = ["call.*", "order.placed"] # left out: all
    use_cases = ["restaurantOrderingUseCase"]  # left out: all
    personal_fields = true              # left out: false

    [receivers.bus]
    event_bus = "default"               # name or ARN of a bus of Amazon EventBridge

    [receivers.topic]
    topic = "arn:aws:sns:us-east-1:123456789012:calls.fifo"  # of Amazon SNS

`seed` writes the table's item, which every process reads again each half minute, so a change needs
no deployment. Hosts and secrets are those of HTTP tools (`agent.usecases.host_allowlist`), which
the operator lists.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from agent.errors import UseCaseError
from agent.ports import Item
from agent.usecases.call_events import KINDS
from agent.usecases.host_allowlist import DEFAULT_PORTS, HostAllowlist, Secret
from agent.usecases.tool_event import is_custom
from agent.usecases.validation import convert

RECEIVERS_KEY = ("events", "receivers")
"""Of the table's item."""
RECEIVERS_FILE = "receivers.toml"
_MOST = 20
_FAMILIES = frozenset(f"{kind.partition('.')[0]}.*" for kind in KINDS)
_Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
_ARN = r"arn:aws[a-z-]*:{}:[a-z0-9-]+:[0-9]{{12}}:"
_BUS = re.compile(rf"({_ARN.format('events')}event-bus/)?[A-Za-z0-9/_.-]{{1,256}}")
_TOPIC = re.compile(rf"{_ARN.format('sns')}[A-Za-z0-9_-]{{1,250}}(\.fifo)?")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    receivers: dict[str, dict[str, object]] = {}


class Receiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One receiver of events: a URL, an event bus or a topic."""

    url: str = ""
    event_bus: str = ""
    topic: str = ""
    secret: str = ""
    events: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()
    personal_fields: bool = False
    name: str = ""

    def wants(self, kind: str) -> bool:
        """Whether it is told of events of this kind, of some use case."""
        return not self.events or not {kind, f"{kind.partition('.')[0]}.*"}.isdisjoint(self.events)

    def wants_of(self, use_case: str, kind: str) -> bool:
        """The same of this use case."""
        return self.wants(kind) and (not self.use_cases or use_case in self.use_cases)

    @property
    def permission(self) -> str:
        """What the role of the process needs for it; empty = nothing."""
        if self.topic:
            return f"sns:Publish on {self.topic}"
        return f"events:PutEvents on {self.event_bus}" if self.event_bus else ""

    def fault(self, hosts: HostAllowlist, secrets: Mapping[str, Secret]) -> str:
        """Why it cannot be used with the present settings, `field: fault`; empty if it can."""
        if not self.url:
            return ""
        scheme, host, port = _place(self.url)
        if not hosts.lists(scheme, host, port):
            return f"url: {scheme}://{host}:{port} is not in HTTP_TOOL_HOSTS"
        secret = secrets.get(self.secret)
        if secret is None:
            return f"secret: {self.secret} is not in HTTP_TOOL_SECRETS"
        return self.fault_of_secret(secret)

    def fault_of_secret(self, secret: Secret) -> str:
        """Why its secret cannot sign, `secret: fault`; empty if it can."""
        scheme, host, port = _place(self.url)
        if not secret.may_go_to(scheme, host, port):
            return f"secret: {self.secret} may not be used for {host} by HTTP_TOOL_SECRETS"
        if signer_of(secret.value) is None:
            return f"secret: {self.secret} must be set, to whsec_ and a key in base64"
        return ""


def signer_of(secret: str) -> Webhook | None:
    """What signs with this secret (`whsec_…`); None if it is none."""
    try:
        return Webhook(secret)
    except (EmptyWebhookSecretError, ValueError):
        return None


def read_receivers(raw: object) -> tuple[Receiver, ...]:
    """The receivers of a file or an item: tables by name. Raises `UseCaseError`."""
    tables = convert(raw, dict[_Name, Receiver], "receivers")
    if len(tables) > _MOST:
        raise UseCaseError(f"receivers: there must be at most {_MOST}")
    for name, receiver in tables.items():
        if fault := _fault(receiver):
            raise UseCaseError(f"receivers.{name}.{fault}")
    return tuple(msgspec.structs.replace(receiver, name=name) for name, receiver in tables.items())


def load_receivers(configuration: Path) -> Item | None:
    """The item of the folder's file; None without a file. Raises `UseCaseError`."""
    path = configuration / RECEIVERS_FILE
    if not path.exists():
        return None
    try:
        file = tomllib.loads(path.read_text(encoding="utf-8"))
        receivers = convert(file, _File).receivers
        read_receivers(receivers)
    except (OSError, ValueError, UseCaseError) as error:
        raise UseCaseError(f"{RECEIVERS_FILE}: {error}") from error
    pk, sk = RECEIVERS_KEY
    return {"pk": pk, "sk": sk, "receivers": receivers}


def receivers_of(item: Mapping[str, object] | None) -> tuple[Receiver, ...]:
    """The receivers of the table's item; none without one. Raises `UseCaseError`."""
    return read_receivers(item.get("receivers") or {}) if item else ()


def _fault(receiver: Receiver) -> str:
    if receiver.name:
        return "name: is not known"
    places = receiver.url, receiver.event_bus, receiver.topic
    if len(list(filter(None, places))) != 1:
        return "url: must be set, or event_bus or topic instead"
    for kind in receiver.events:
        if not (kind in {*KINDS, *_FAMILIES} or is_custom(kind)):
            return f"events: there is no event {kind!r}"
    if receiver.event_bus and not _BUS.fullmatch(receiver.event_bus):
        return "event_bus: must be the name or the ARN of an event bus"
    if receiver.topic and not _TOPIC.fullmatch(receiver.topic):
        return "topic: must be the ARN of a topic of Amazon SNS"
    if not receiver.url:
        return "secret: only a url has one" if receiver.secret else ""
    try:
        scheme, host, _ = _place(receiver.url)
    except ValueError:
        return "url: is no URL"
    if scheme not in DEFAULT_PORTS or not host or "@" in urlsplit(receiver.url).netloc:
        return "url: must be like https://crm.example.com/hooks"
    return "" if receiver.secret else "secret: must name a variable"


def _place(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
