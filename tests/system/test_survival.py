"""No call is lost, whatever happens to servers: real processes behind a balancer that ends TLS.

`tests.survival` has the parts; `benchmarks/survival.py` runs the same scenarios in full size. What
is asserted is what callers heard and what the table holds. The only limits of time are those of the
protocol and of the callers' patience.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path

import pytest

from agent.simulator import phone_call
from tests.dynamodb import Engine
from tests.survival import scenarios
from tests.survival.scenarios import Outcome, Place, Times
from tests.waiting import HANG_SECONDS

pytestmark = pytest.mark.needs("balancer")

_CALLS = 24
_DRAIN_SECONDS = 100.0
_SHORT = Times(delay=36.0, stop_timeout=24.0, drain=20)
_PATIENCE_SECONDS = 10.0
"""The longest wait for words after a connection was lost."""
_STRANGERS_HEAR = {
    "invented 403",
    "invented 503",  # while too many handshakes are checked at once
    "unsigned 403",
    "socket 101",
    "socket 503",
    "webhook 200 Connect",
    "webhook 200 Say+Hangup",
    "webhook 200 Pause+Redirect",
}
_NONE: frozenset[str] = frozenset()


def assert_nothing_is_lost(outcome: Outcome) -> None:
    """Each call ended with the caller's hang-up and one order, and every word is in the table."""
    report = outcome.report
    assert report.endings == {phone_call.Outcome.HUNG_UP: report.calls}
    assert report.orders == {1: report.calls}
    assert (report.missing, report.strange, report.forgotten) == (0, 0, 0)
    assert (report.open_tools, report.repairs, report.silent) == (0, 0, 0)
    assert report.violations == {}
    assert {each.code for each in outcome.exits} == {0}


def reasons(outcome: Outcome) -> set[str]:
    return {each.split()[0] for each in outcome.report.rejoins}


def killed(outcome: Outcome) -> None:
    assert reasons(outcome) == {"failed"}
    assert outcome.report.waits[-1] < _PATIENCE_SECONDS


def rolled(outcome: Outcome) -> None:
    assert reasons(outcome) == {"ended"}
    assert outcome.report.waits[-1] < _PATIENCE_SECONDS
    assert max(each.seconds for each in outcome.exits) < _DRAIN_SECONDS


def deployed(outcome: Outcome) -> None:
    """Both ended by themselves before connections are cut, and new calls went elsewhere."""
    assert reasons(outcome) == {"ended"}
    assert outcome.report.waits[-1] < _PATIENCE_SECONDS
    assert outcome.cut == 0


def reopened(outcome: Outcome) -> None:
    """Twilio opens no socket again that was never open: it asks the action URL (error 64102)."""
    rejoins = outcome.report.rejoins
    was_open = [each for each in rejoins if not each.startswith("failed 64102")]
    assert {each.split()[-1] for each in was_open} == {"reopened"}, rejoins


def broke(outcome: Outcome) -> None:
    assert outcome.report.rejoins.total() > 0
    assert outcome.report.waits[-1] < _PATIENCE_SECONDS


def unnoticed(outcome: Outcome) -> None:
    assert outcome.report.rejoins == {}


def flooded(outcome: Outcome) -> None:
    unnoticed(outcome)
    assert set(outcome.strangers) <= _STRANGERS_HEAR
    assert outcome.most_led <= _CALLS


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario and what it may cost; the default is nothing."""

    run: Callable[[Place], Coroutine[None, None, Outcome]]
    further: Callable[[Outcome], None] = lambda _: None
    lost: float = 0
    """Sentences of the agent that may be lost, and as many that may be repeated."""
    said_again: float = 0
    """Sentences that callers may have to say again."""
    errors: frozenset[str] | None = _NONE
    """Events that may be logged as errors; None = any."""


CASES = {
    # The calls think, listen or order; at the other server the agent speaks first, and goes on.
    "kill": Case(scenarios.kill, killed, _CALLS, inf),
    # SIGTERM without notice: calls are handed over in a quiet moment.
    "rolling": Case(scenarios.rolling, rolled),
    # A deploy in the order of ECS, with a fifth of its times: nothing is left to be cut.
    "deploy": Case(partial(scenarios.deploy, times=_SHORT), deployed),
    # Twilio opens the same URL at another server, with or without a second `setup`.
    "reopened": Case(scenarios.reopened, reopened, _CALLS, inf),
    # The server lives, and has to let go of a call that goes on elsewhere or comes back.
    "broken": Case(scenarios.broken, broke, inf, inf),
    # The network loses everything for a second, and for ten: on the same socket, or on a new one.
    "cut": Case(scenarios.cut, lost=inf, said_again=inf),
    # What was said meanwhile is written afterwards; orders fail plainly and then succeed.
    "table": Case(
        partial(scenarios.table_away, seconds=5.0),
        said_again=inf,
        errors=frozenset({"tool.failed"}),
    ),
    # An apology, a request for patience, and the answer when the model is back.
    "bedrock": Case(partial(scenarios.model_away, seconds=5.0), said_again=inf),
    # The clocks of the servers are set an hour forward, and back.
    "clock": Case(scenarios.clock, unnoticed),
    # On the embedded store: what was said is written as soon as there is room.
    "disk": Case(partial(scenarios.disk_full, seconds=5.0), unnoticed, said_again=inf, errors=None),
    # Handshakes of strangers are refused, and so are calls beyond the limit.
    "flood": Case(partial(scenarios.flood, strangers=500), flooded),
}


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES)
async def test_no_call_is_lost(
    tmp_path: Path,
    dynamodb: Engine,
    table_name: str,
    record_property: Callable[[str, object], None],
    name: str,
    case: Case,
) -> None:
    place = Place(tmp_path, dynamodb, table_name, _CALLS, HANG_SECONDS)

    outcome = await case.run(place)

    record_property("survival", "\n  ".join([name, *outcome.rows()]))
    assert_nothing_is_lost(outcome)
    assert max(outcome.report.lost, outcome.report.repeated) <= case.lost
    assert outcome.report.said_again <= case.said_again
    assert case.errors is None or outcome.errors.keys() <= case.errors
    case.further(outcome)


def test_every_scenario_is_run() -> None:
    assert CASES.keys() == scenarios.FULL.keys()
