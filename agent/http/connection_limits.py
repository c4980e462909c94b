"""Connections that wait for their peers, in order, and how many each address has.

Those of an address that are idle between requests count apart from those with a request that is not
complete: a flood of the one does not close the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

_HOST_BITS = 64
"""Of an IPv6 address; one customer usually has a whole network (RFC 6177)."""

T = TypeVar("T", bound=Hashable)
_Group = tuple[str, bool]
"""An address, and whether its connections are idle."""


class PendingConnections(Generic[T]):
    """A queue that knows who has more than a share.

    Args:
        share: The most of one address that count as few.
    """

    def __init__(self, share: int) -> None:
        self._share = share
        self._groups: dict[T, _Group] = {}
        """The oldest first."""
        self._counts: Counter[_Group] = Counter()

    def __len__(self) -> int:
        return len(self._groups)

    def enter(self, one: T, address: str, *, is_idle: bool = False) -> None:
        """From now on this one waits; it is the youngest, also if it waited before."""
        self.leave(one)
        group = (network_of(address), is_idle)
        self._groups[one] = group
        self._counts[group] += 1

    def leave(self, one: T) -> None:
        """It does not wait any more; harmless if it did not."""
        group = self._groups.pop(one, None)
        if group is None:
            return
        self._counts[group] -= 1
        if not self._counts[group]:
            del self._counts[group]

    def first_to_leave(self) -> T | None:
        """The oldest of the group that is furthest above its share; else the oldest of all."""
        if not self._groups:
            return None
        heaviest = max(self._counts, key=self._counts.__getitem__)
        if self._counts[heaviest] <= self._share:
            return next(iter(self._groups))
        return next(one for one, group in self._groups.items() if group == heaviest)


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
