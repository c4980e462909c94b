"""No call is lost, whatever happens to servers: real processes behind a balancer that ends TLS.

`tests.survival` has the parts; `benchmarks/survival.py` runs the same scenarios in full size. What
is asserted is what callers heard and what the table holds. The only limits of time are those of the
protocol and of patience.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dynamodb import Engine
from tests.survival import scenarios
from tests.survival.scenarios import Outcome, Place
from tests.waiting import HANG_SECONDS

_CALLS = 24
_DRAIN_SECONDS = 110.0
_PATIENCE_SECONDS = 10.0
"""The longest wait for words after a connection was lost."""

Record = Callable[[str, object], None]


@pytest.fixture
def place(tmp_path: Path, dynamodb: Engine, table_name: str) -> Place:
    return Place(tmp_path, dynamodb, table_name, _CALLS, HANG_SECONDS)


def assert_nothing_is_lost(outcome: Outcome) -> None:
    """Each call ended as its caller wanted, with one order, and all of it is written down."""
    assert outcome.report.endings == {"hung up": outcome.report.calls}
    assert outcome.report.orders == {1: outcome.report.calls}
    assert_all_is_written_down(outcome)


def assert_all_is_written_down(outcome: Outcome) -> None:
    """Every word of the callers, every word they heard, and what came of every tool."""
    report = outcome.report
    assert (report.missing, report.strange, report.forgotten) == (0, 0, 0)
    assert (report.open_tools, report.repairs) == (0, 0)
    assert report.silent == 0
    assert report.violations == {}
    assert {each.code for each in outcome.exits} == {0}


def tell(record: Record, name: str, outcome: Outcome) -> None:
    """Show the figures at the end of the run."""
    record("survival", "\n  ".join([name, *outcome.rows()]))


async def test_calls_of_a_server_that_dies_go_on_at_another(
    place: Place, record_property: Record
) -> None:
    """Whether they thought, listened or ordered; the agent speaks first, and goes on."""
    outcome = await scenarios.kill(place)

    tell(record_property, "kill", outcome)
    assert_nothing_is_lost(outcome)
    assert {each.split()[0] for each in outcome.report.rejoins} == {"failed"}
    assert outcome.report.waits[-1] < _PATIENCE_SECONDS
    assert outcome.report.lost <= outcome.report.calls
    assert outcome.report.repeated <= outcome.report.calls
    assert outcome.errors == {}


async def test_deploy_drops_no_call_and_no_sentence(place: Place, record_property: Record) -> None:
    """Each server is replaced under its calls, which are handed over in a quiet moment."""
    outcome = await scenarios.rolling(place)

    tell(record_property, "rolling", outcome)
    assert_nothing_is_lost(outcome)
    assert sum(outcome.report.rejoins.values()) > 0
    assert {each.split()[0] for each in outcome.report.rejoins} == {"ended"}
    assert (outcome.report.lost, outcome.report.repeated, outcome.report.said_again) == (0, 0, 0)
    assert outcome.report.waits[-1] < _PATIENCE_SECONDS
    assert max(each.seconds for each in outcome.exits) < _DRAIN_SECONDS
    assert outcome.errors == {}


async def test_calls_go_on_when_twilio_opens_the_socket_again(
    place: Place, record_property: Record
) -> None:
    """At another server, with the same URL, and with or without a second `setup`.

    Twilio opens no socket again that was never open; it asks the action URL (error 64102).
    """
    outcome = await scenarios.reopened(place)

    tell(record_property, "reopened", outcome)
    assert_nothing_is_lost(outcome)
    was_open = [each for each in outcome.report.rejoins if not each.startswith("failed 64102")]
    assert {each.split()[-1] for each in was_open} == {"reopened"}, outcome.report.rejoins
    assert outcome.report.lost <= outcome.report.calls
    assert outcome.report.repeated <= outcome.report.calls
    assert outcome.errors == {}


async def test_calls_go_on_when_all_their_sockets_break(
    place: Place, record_property: Record
) -> None:
    """The server lives, and has to let go of a call that goes on elsewhere or comes back."""
    outcome = await scenarios.broken(place)

    tell(record_property, "broken", outcome)
    assert_nothing_is_lost(outcome)
    assert sum(outcome.report.rejoins.values()) > 0
    assert outcome.report.waits[-1] < _PATIENCE_SECONDS
    assert outcome.errors == {}


async def test_calls_live_through_a_network_that_loses_everything(
    place: Place, record_property: Record
) -> None:
    """For a second, and for ten: on the same socket, or on a new one."""
    outcome = await scenarios.cut(place)

    tell(record_property, "cut", outcome)
    assert_nothing_is_lost(outcome)
    assert outcome.errors == {}


async def test_calls_live_through_a_table_that_goes_away(
    place: Place, record_property: Record
) -> None:
    """What was said meanwhile is written afterwards; orders fail plainly and then succeed."""
    outcome = await scenarios.table_away(place, seconds=5.0)

    tell(record_property, "table", outcome)
    assert_nothing_is_lost(outcome)
    assert (outcome.report.lost, outcome.report.repeated) == (0, 0)
    assert set(outcome.errors) <= {"tool.failed"}


async def test_callers_hear_plainly_that_the_model_is_away(
    place: Place, record_property: Record
) -> None:
    """An apology, a request for patience, and the answer when it is back; nothing is lost."""
    outcome = await scenarios.model_away(place, seconds=5.0)

    tell(record_property, "bedrock", outcome)
    assert_nothing_is_lost(outcome)
    assert (outcome.report.lost, outcome.report.repeated) == (0, 0)
    assert set(outcome.errors) <= {"bedrock.request_refused"}


async def test_calls_do_not_notice_a_clock_that_is_set(
    place: Place, record_property: Record
) -> None:
    """An hour forward, and back."""
    outcome = await scenarios.clock(place)

    tell(record_property, "clock", outcome)
    assert_nothing_is_lost(outcome)
    assert (outcome.report.lost, outcome.report.repeated, outcome.report.said_again) == (0, 0, 0)
    assert outcome.report.rejoins == {}
    assert outcome.errors == {}


async def test_calls_live_through_a_disk_that_is_full(
    place: Place, record_property: Record
) -> None:
    """On the embedded store: what was said is written as soon as there is room."""
    outcome = await scenarios.disk_full(place, seconds=5.0)

    tell(record_property, "disk", outcome)
    assert_nothing_is_lost(outcome)
    assert (outcome.report.lost, outcome.report.repeated) == (0, 0)
    assert outcome.report.rejoins == {}


async def test_strangers_do_not_disturb_calls(place: Place, record_property: Record) -> None:
    """Handshakes are refused, and so are calls beyond the limit, each in the way it can be told."""
    outcome = await scenarios.flood(place, strangers=500)

    tell(record_property, "flood", outcome)
    assert_nothing_is_lost(outcome)
    assert (outcome.report.lost, outcome.report.repeated, outcome.report.said_again) == (0, 0, 0)
    assert outcome.report.rejoins == {}
    assert outcome.errors == {}
    assert set(outcome.strangers) <= {
        "invented 403",
        "invented 503",  # while so many are looked at that there is no place for another one
        "unsigned 403",
        "socket 101",
        "socket 503",
        "webhook 200 Connect",
        "webhook 200 Say+Hangup",
        "webhook 200 Pause+Redirect",
    }
    assert outcome.most_led <= _CALLS
