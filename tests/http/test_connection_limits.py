"""Which connection is closed when all places are taken."""

from __future__ import annotations

import pytest

from agent.http.connection_limits import PendingConnections, network_of


def test_oldest_is_the_first_to_leave() -> None:
    """While each address keeps to its share; one that enters again is the youngest."""
    waiting: PendingConnections[str] = PendingConnections(share=2)
    for name, address in (("a", "192.0.2.1"), ("b", "192.0.2.2"), ("c", "192.0.2.1")):
        waiting.enter(name, address)
    waiting.enter("a", "192.0.2.1")

    assert waiting.first_to_leave() == "b"
    waiting.leave("b")
    waiting.leave("b")
    assert waiting.first_to_leave() == "c"


def test_address_above_its_share_leaves_first() -> None:
    """Its own oldest, until it is at its share again."""
    waiting: PendingConnections[int] = PendingConnections(share=2)
    waiting.enter(0, "192.0.2.1")
    for number in range(1, 5):
        waiting.enter(number, "192.0.2.2")
    left = []
    while (one := waiting.first_to_leave()) is not None:
        left.append(one)
        waiting.leave(one)

    assert left == [1, 2, 0, 3, 4]


@pytest.mark.parametrize("is_idle", [True, False])
def test_flood_of_one_kind_does_not_close_the_other(is_idle: bool) -> None:
    """Behind a tunnel all have one address."""
    waiting: PendingConnections[int] = PendingConnections(share=2)
    waiting.enter(0, "192.0.2.1", is_idle=not is_idle)
    for number in range(1, 5):
        waiting.enter(number, "192.0.2.1", is_idle=is_idle)

    assert waiting.first_to_leave() == 1


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
    ],
)
def test_network_of_an_ipv6_address_counts_as_one(one: str, other: str, are_same: bool) -> None:
    assert (network_of(one) == network_of(other)) is are_same
