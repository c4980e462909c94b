"""Connections that wait for their peers, in order, and how many each address has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

_HOST_BITS = 64
"""Of an IPv6 address; one customer usually has a whole network (RFC 6177)."""

T = TypeVar("T", bound=Hashable)


class Waiting(Generic[T]):
    """A queue that knows who has more than a share.

    Args:
        share: The most of one address that count as few.
    """

    def __init__(self, share: int) -> None:
        self._share = share
        self._networks: dict[T, str] = {}
        """The oldest first."""
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._networks)

    def enter(self, one: T, address: str) -> None:
        """From now on this one waits; it is the youngest, also if it waited before."""
        self.leave(one)
        network = network_of(address)
        self._networks[one] = network
        self._counts[network] += 1

    def leave(self, one: T) -> None:
        """It does not wait any more; harmless if it did not."""
        network = self._networks.pop(one, None)
        if network is None:
            return
        self._counts[network] -= 1
        if not self._counts[network]:
            del self._counts[network]

    def first_to_leave(self) -> T | None:
        """The oldest of the address that is furthest above its share; else the oldest of all."""
        if not self._networks:
            return None
        heaviest = max(self._counts, key=self._counts.__getitem__)
        if self._counts[heaviest] <= self._share:
            return next(iter(self._networks))
        return next(one for one, network in self._networks.items() if network == heaviest)


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the network of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{int(parsed) >> _HOST_BITS:x}::/64"
