"""The hosts and addresses that HTTP tools, which are configuration, may send requests to.

An author of records must not reach what only this process can reach (the metadata service, a
database), so the operator lists the hosts, and each address is checked when a connection is made:

    api.example.com                 https, port 443
    api.example.com:8443            https, that port
    *.example.com                   every name below it, not itself
    http://orders.internal:8080=10.1.0.0/16
                                    without TLS, and at private addresses of that range
    https://192.0.2.7               an address, exactly this

- A public address is allowed for every listed host; any other (private, loopback, shared, reserved)
  only in a range listed with the host, or if it is listed itself.
- Link-local addresses (metadata services), multicast and "this network" are never allowed. An IPv4
  address in an IPv6 one (mapped, NAT64) counts as itself; 6to4 and Teredo are refused.
- A secret may be bound to hosts in the same form: `ORDERS_TOKEN@orders.example.com` is sent to no
  other host, whatever a record says.
- A name that some resolvers read as a number (`2130706433`, `0x7f.1`, `127.1`) is not a name.

Rejected: a list of forbidden hosts, because there is always one more way to write an address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*"
    r"(?![0-9]+$|0x[0-9a-f]*$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_ENTRY = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.*-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?(?:=(?P<range>[0-9a-fA-F:./]+))?"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DEFAULT_PORTS = {"https": 443, "http": 80}
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32", "224.0.0.0/4",
        "255.255.255.255/32", "::/128", "fe80::/10", "fec0::/10", "fd00:ec2::/32", "ff00::/8",
        "2001::/32", "2002::/16",
    )
)  # fmt: skip
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def read_host(text: str) -> str:
    """A name, or an address without brackets, in comparable form; `ValueError` for any other."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    lowered = bare.lower()
    if bare == text and _NAME.fullmatch(lowered):
        return lowered
    address = ipaddress.ip_address(bare)
    if getattr(address, "scope_id", None) or (address.version == 6) != (bare != text):
        raise ValueError(f"{text!r} is no host")
    return str(address)


def address_of(host: str) -> Address | None:
    """The address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class HostRule:
    """One entry of the list."""

    text: str
    scheme: str
    host: str  # a name, an address, or `*.` and a name
    port: int
    network: Network | None = None  # allowed besides public addresses

    @classmethod
    def read(cls, text: str) -> HostRule:
        """Parse an entry; `ValueError` if it is none, or lists an address that is never allowed."""
        found = _ENTRY.fullmatch(text)
        if not found:
            raise ValueError(
                f"{text!r} is no host, for example api.example.com or http://localhost:8080"
            )
        scheme = found["scheme"] or "https"
        port = int(found["port"] or DEFAULT_PORTS[scheme])
        if not 1 <= port <= 65_535:
            raise ValueError(f"{text!r} has no valid port")
        host = _pattern(found["host"])
        address = address_of(host)
        listed = found["range"] or (host if address else "")
        network = ipaddress.ip_network(listed) if listed else None
        if network and any(network[0] in each and network[-1] in each for each in _NEVER):
            raise ValueError(f"{text!r} lists an address that is never allowed")
        return cls(text, scheme, host, port, network)

    def names(self, host: str, port: int) -> bool:
        if self.port != port:
            return False
        if self.host.startswith("*."):
            return host.endswith(self.host[1:]) and address_of(host) is None
        return self.host == host


@dataclass(frozen=True, slots=True)
class SecretRule:
    """One entry of `HTTP_TOOL_SECRETS`: a variable, and where its value may be sent."""

    name: str
    host: HostRule | None = None  # None = every host in HTTP_TOOL_HOSTS

    @classmethod
    def read(cls, text: str) -> SecretRule:
        """Parse `NAME` or `NAME@HOST`; `ValueError` if it is neither."""
        name, at, host = text.partition("@")
        if not _VARIABLE.fullmatch(name):
            raise ValueError("must be a comma list like ORDERS_API_TOKEN@api.example.com")
        return cls(name, HostRule.read(host) if at else None)

    def __str__(self) -> str:
        return self.name if self.host is None else f"{self.name}@{self.host.text}"


@dataclass(frozen=True, slots=True)
class Secret:
    """The value of a variable that a header may hold."""

    value: str = field(repr=False)  # empty = the variable is not set
    rules: tuple[SecretRule, ...] = ()

    @classmethod
    def read_all(
        cls, rules: tuple[SecretRule, ...], environment: Mapping[str, str]
    ) -> dict[str, Secret]:
        own = {rule.name: tuple(each for each in rules if each.name == rule.name) for rule in rules}
        return {name: cls(environment.get(name, "").strip(), own[name]) for name in own}

    def may_go_to(self, scheme: str, host: str, port: int) -> bool:
        return any(
            rule.host is None or (rule.host.scheme == scheme and rule.host.names(host, port))
            for rule in self.rules
        )


@dataclass(frozen=True, slots=True)
class HostAllowlist:
    """The list; empty = no host."""

    rules: tuple[HostRule, ...] = ()

    @classmethod
    def read(cls, text: str) -> HostAllowlist:
        """Parse a comma-separated list; `ValueError` names the first wrong entry."""
        return cls(tuple(HostRule.read(each.strip()) for each in text.split(",") if each.strip()))

    def __str__(self) -> str:
        return ",".join(rule.text for rule in self.rules)

    def lists(self, scheme: str, host: str, port: int) -> bool:
        """Whether requests to that host are allowed; its address is checked by `admits`."""
        return any(rule.scheme == scheme and rule.names(host, port) for rule in self.rules)

    def admits(self, host: str, port: int, address: str) -> bool:
        """Whether a listed host may be reached at this address."""
        found = address_of(address)
        if found is None:
            return False
        led_to = _led_to(found)
        if any(each in never for never in _NEVER for each in (found, led_to)):
            return False
        is_public = led_to.is_global and not led_to.is_reserved
        rules = [rule for rule in self.rules if rule.names(host, port)]
        return any(is_public or (rule.network and led_to in rule.network) for rule in rules)


def _pattern(text: str) -> str:
    if not text.startswith("*."):
        return read_host(text)
    below = read_host(text[2:])
    if address_of(below) or "." not in below:
        raise ValueError(f"{text!r} is too wide")
    return f"*.{below}"


def _led_to(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return getattr(address, "ipv4_mapped", None) or address
