"""What a server sends is judged by its order and its time."""

from __future__ import annotations

import pytest

from agent.simulator.talk_cycles import Departure, TalkLedger

TEXT, LAST = '{"type":"text","token":"One two "}', '{"type":"text","token":"","last":true}'
OTHER, REST = '{"type":"text","token":"Three "}', '{"type":"text","token":"two"}'
Steps = list[tuple[float, str]]


@pytest.mark.parametrize(
    ("steps", "faults", "late"),
    [
        ([(2.6, TEXT), (2.7, TEXT)], [Departure.TALKED_ON], (2, 0)),
        ([(2.1, LAST), (2.6, OTHER), (2.7, LAST)], [Departure.TALKED_ON], (0, 1)),
        ([(2.1, LAST), (2.6, REST), (2.7, LAST)], [], (0, 1)),
        ([(23.0, LAST)], [Departure.NOT_CLOSED], (0, 0)),
        (
            [(2.1, '{"type":"end"}'), (2.2, TEXT)],
            [Departure.NOT_CLOSED, Departure.AFTER_END],
            (0, 0),
        ),
        ([(2.1, "not json"), (2.1, "[]"), (2.2, LAST)], [Departure.BAD_FRAME] * 2, (0, 0)),
        ([(2.1, '{"type":"end","handoffData":{}}')], [Departure.BAD_FRAME], (0, 0)),
    ],
)
def test_what_follows_an_interrupt_is_judged_by_the_time(
    steps: Steps, faults: list[Departure], late: tuple[int, int]
) -> None:
    """A cycle was opened at 1 s and cut at 2 s; half a second may be under way.

    A server may say the rest of it again: it takes the interrupt for a noise.
    """
    ledger = TalkLedger(in_flight_seconds=0.5)
    ledger.received(TEXT, 1.0)
    ledger.interrupted(2.0)

    for at, frame in steps:
        ledger.received(frame, at)

    assert [each.kind for each in ledger.departures] == faults
    assert (ledger.late_tokens, ledger.late_cycles) == late


def test_departure_is_shown_without_words() -> None:
    ledger = TalkLedger()

    ledger.received('{"type":"text","token":7}', 1.0)
    ledger.received(LAST, 1.0)

    shown = [str(fault) for fault in ledger.departures]
    assert shown == ["bad_frame: Expected `str`, got `int` - at `$.token`", "no_words"]


def test_cut_cycle_must_be_closed_before_the_session_is() -> None:
    """Unless the session is over too soon for that."""
    soon, late = TalkLedger(closing_seconds=2.0), TalkLedger(closing_seconds=2.0)
    for ledger in (soon, late):
        ledger.received(TEXT, 1.0)
        ledger.interrupted(2.0)

    soon.close(4.0)
    late.close(4.1)

    assert soon.departures == []
    assert [each.kind for each in late.departures] == [Departure.NOT_CLOSED]
