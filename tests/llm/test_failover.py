"""A caller is answered if any model can answer, and no failure is heard twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.events import ReplyFault
from agent.call.messages import StopReason, TextPiece, ToolCall, Usage
from agent.errors import REMEDIES, ModelError
from agent.llm.failover import HedgeBudget, ModelCircuit
from agent.simulator.virtual_time import run_virtually
from agent.usecases.model_times import USUAL_LIMITS, TimeLimits
from tests.llm.bench import ASKED, END, WELL, Bench
from tests.scripted import Step

TOOLS = StopReason.TOOLS
CALL = ToolCall("x", "look", "{}")
STALL = 60.0


def fault(name: str) -> ModelError:
    return ModelError(ReplyFault(name), "as the provider put it")


AWAY = [fault("unavailable")]
BUSY = [fault("throttled")]
REFUSING = [fault("refused")]
RETRIED = ["first failed: unavailable", "first retried"]


def fell_back(name: str) -> list[str]:
    return [f"first failed: {name}", "fell back to second"]


Scripts = tuple[Sequence[Sequence[Step]], ...]
Case = tuple[Scripts, str, list[int], float, list[str]]
"""Scripts of the models, words or fault, requests of each, seconds taken, what was counted.

The fault is that of the first choice, which the session counts.
"""

ALONE: dict[str, Case] = {
    "unavailable": (([AWAY, WELL], [WELL]), "Well.", [2, 0], 0.0, RETRIED),
    "timeout": (
        ([[fault("timeout")], WELL], [WELL]), "Well.", [2, 0], 0.0,
        ["first failed: timeout", "first retried"],
    ),
    "throttled": (([BUSY], [WELL]), "Well.", [1, 1], 0.0, fell_back("throttled")),
    "internal": (([[fault("internal")]], [WELL]), "Well.", [1, 1], 0.0, fell_back("internal")),
    "too long": (([[fault("too_long")]], [WELL]), "Well.", [1, 1], 0.0, fell_back("too_long")),
    "refused": (([REFUSING], [WELL]), "Well.", [1, 1], 0.0, fell_back("refused")),
    "denied": (
        ([[fault("denied")]], [WELL]), "Well.", [1, 1], 0.0, ["first open", *fell_back("denied")],
    ),
    "only an empty piece": (([[""], WELL],), "Well.", [2], 0.0, RETRIED),
    "only blanks": (([[" \n"], WELL],), "Well.", [2], 0.0, RETRIED),
    "nothing": (([[], WELL],), "Well.", [2], 0.0, RETRIED),
    "throttled alone": (
        ([BUSY, WELL],), "Well.", [2], 0.2, ["first failed: throttled", "first retried"],
    ),
    "internal alone": (([[fault("internal")], WELL],), "internal", [1], 0.0, []),
    "too long alone": (([[fault("too_long")], WELL],), "too_long", [1], 0.0, []),
    "refused alone": (([REFUSING, WELL],), "refused", [1], 0.0, []),
    "denied alone": (([[fault("denied")], WELL],), "denied", [1], 0.0, ["first open"]),
    "one retry, then each once": (
        ([AWAY], [AWAY], [BUSY]), "unavailable", [2, 1, 1], 0.0,
        [
            *RETRIED, "fell back to second", "second failed: unavailable", "fell back to third",
            "third failed: throttled",
        ],
    ),
    "refused twice": (
        ([REFUSING], [REFUSING], [WELL]), "Well.", [1, 1, 1], 0.0,
        [*fell_back("refused"), "second failed: refused", "fell back to third"],
    ),
    "fault after a word": (([["I was ", *AWAY], WELL], [WELL]), "unavailable", [1, 0], 0.0, []),
    "fault after a call": (([[CALL, *AWAY], WELL], [WELL]), "unavailable", [1, 0], 0.0, []),
    "stall after a word": (([["I was ", STALL]], [WELL]), "timeout", [1, 0], 4.0, []),
    "signs of life": (([["", 3.0, "", 3.0, "", 3.0, "Well.", END]],), "Well.", [1], 9.0, []),
    "fault after the end": (([["Well.", END, *AWAY]],), "Well.", [1], 0.0, []),
    "stall after the end": (([["Well.", END, STALL]],), "Well.", [1], 4.0, []),
    "stall, then a fallback": (
        ([[STALL]], [[0.3, *WELL]]), "Well.", [2, 1], 5.3,
        ["first failed: timeout", "first retried", *fell_back("timeout")],
    ),
    "all stall": (
        ([[STALL]], [[STALL]]), "timeout", [2, 1], 7.5,
        ["first retried", *fell_back("timeout"), "second failed: timeout"],
    ),
}  # fmt: skip
HEDGED: dict[str, Case] = {
    "a single model": (
        ([[STALL], [0.3, *WELL]],), "Well.", [2], 1.8, ["hedge started", "hedge won"],
    ),
    "the late one wins": (
        ([[1.6, *WELL]], [[1.0, CALL, TOOLS]]), "Well.", [1, 1], 1.6, ["hedge started"],
    ),
    "a sign of life": (([["", 1.8, *WELL]], [WELL]), "Well.", [1, 0], 1.8, []),
    "a tie": (
        ([[2.0, "First.", END]], [[0.5, "Second.", END]]), "First.", [1, 1], 2.0,
        ["hedge started"],
    ),
    "the hedge fails": (
        ([[1.8, *WELL]], [[fault("internal")]]), "Well.", [1, 1], 1.8,
        ["hedge started", "second failed: internal"],
    ),
    "both fail": (
        ([[STALL], WELL], [REFUSING]), "Well.", [2, 1], 2.5,
        ["hedge started", "second failed: refused", "first failed: timeout", "first retried"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("case", "hedges"),
    [
        *(pytest.param(case, 0, id=name) for name, case in ALONE.items()),
        *(pytest.param(case, 1, id=f"hedged: {name}") for name, case in HEDGED.items()),
    ],
)
def test_each_fault_is_followed_by_its_step(case: Case, hedges: int) -> None:
    """Before the first word or call another request may answer; after it nothing is repeated."""
    scripts, answer, asked, took, counts = case
    bench = Bench(*scripts, hedges=hedges)

    found = run_virtually(bench.say())

    assert (found, bench.asked, bench.took) == (answer, asked, [took])
    assert sorted(bench.counts) == sorted(counts)


@pytest.mark.parametrize(
    ("first", "who"),
    [
        (["Well.", END, Usage(7, 2)], "first"),
        ([fault("throttled")], "second"),
        ([STALL], "second"),
    ],
    ids=["asked", "in its place", "hedged"],
)
def test_tokens_are_those_of_the_model_that_answered(first: Sequence[Step], who: str) -> None:
    """They are billed at the price of that model."""
    bench = Bench([first], [["Well.", END, Usage(7, 2)]], hedges=1)

    assert run_virtually(bench.pieces())[-1] == Usage(7, 2, model=who)


def test_late_request_gets_a_hedge_on_the_next_model() -> None:
    """The first with words wins; the other stream is closed before they are given out."""
    bench = Bench([[STALL, "Late."]], [[0.3, "Hedge.", 1.0, END]], hedges=1)

    async def first_words() -> tuple[str, list[int]]:
        async with aclosing(bench.model.reply(ASKED)) as reply:
            [first] = await anext(reply)
            assert isinstance(first, TextPiece)
            return first.text, [model.open_streams for model in bench.models]

    assert run_virtually(first_words()) == ("Hedge.", [0, 1])
    assert bench.counts == ["hedge started", "hedge won"]


def test_open_streams_are_counted() -> None:
    bench = Bench([[STALL]], [[1.0, "Hedge.", 1.0, END]], hedges=1)

    async def watch() -> list[dict[str, float]]:
        reading, seen = asyncio.create_task(bench.pieces()), list[dict[str, float]]()
        for _ in range(3):
            await asyncio.sleep(0.9)  # of virtual time
            seen.append(bench.streams)
        await reading
        return [*seen, bench.streams]

    assert run_virtually(watch()) == [{"first": 1}, {"first": 1, "second": 1}, {"second": 1}, {}]


def test_throttling_pauses_hedges() -> None:
    bench = Bench([[fault("throttled")], [1.8, *WELL]], [WELL], hedges=1)

    async def three() -> None:
        await bench.pieces()
        await bench.pieces()
        await asyncio.sleep(30.0)
        await bench.pieces()

    run_virtually(three())

    assert bench.counts.count("hedge started") == 1
    assert bench.asked == [3, 2]


def test_hedges_are_at_most_one_in_twenty() -> None:
    """Five are saved at the start and ten at most."""
    budget = HedgeBudget()

    async def spend(requests: int) -> int:
        for _ in range(requests):
            budget.earn()
        return sum(budget.spend() for _ in range(100))

    assert [run_virtually(spend(count)) for count in (19, 1, 20, 40, 10_000)] == [5, 1, 1, 2, 10]


@pytest.mark.parametrize(
    ("times", "after"),
    [
        ([0.1] * 19, 1.5),
        ([0.1] * 20, 0.8),
        ([0.1] * 95 + [1.9] * 5, 0.8),
        ([0.1] * 94 + [1.2] * 6, 1.2),
        ([0.1] * 94 + [1.9] * 6, 1.5),
        ([1.9] * 100 + [0.3] * 100, 0.8),
    ],
)
def test_hedge_is_due_when_the_first_is_later_than_usual(times: list[float], after: float) -> None:
    """P95 of recent first events, within 0.8-1.5 s."""
    circuit = ModelCircuit("first")

    async def begin() -> None:
        for seconds in times:
            circuit.stream_began(seconds, USUAL_LIMITS)

    run_virtually(begin())

    assert circuit.hedge_after(USUAL_LIMITS) == after


@given(st.lists(st.floats(0.5, 2.0), min_size=20, max_size=300))
def test_hedge_is_due_by_the_latest_hundred(times: list[float]) -> None:
    circuit = ModelCircuit("first")

    async def begin() -> None:
        for seconds in times:
            circuit.stream_began(seconds, USUAL_LIMITS)

    run_virtually(begin())

    ordered = sorted(times[-100:])
    usual = ordered[ceil(len(ordered) * 0.95) - 1]
    assert circuit.hedge_after(USUAL_LIMITS) == min(max(usual, 0.8), 1.5)


LOST = ReplyFault.UNAVAILABLE


async def _note(circuit: ModelCircuit, *outcomes: float | ReplyFault) -> None:
    for outcome in outcomes:
        if isinstance(outcome, ReplyFault):
            circuit.failed(outcome)
        else:
            circuit.stream_began(outcome, USUAL_LIMITS)


@pytest.mark.parametrize(
    ("outcomes", "is_open"),
    [
        ([LOST] * 5, False),
        ([LOST] * 6, True),
        ([2.1] * 6, True),
        ([1.9] * 6, False),
        ([0.3, 0.3, 0.3, LOST, 2.1, ReplyFault.THROTTLED], True),
        ([0.3, 0.3, 0.3, 0.3, LOST, LOST], False),
        ([ReplyFault.REFUSED] * 20, False),
        ([ReplyFault.TOO_LONG] * 20, False),
        ([ReplyFault.DENIED], True),
        ([0.3] * 100 + [LOST] * 9, False),
        ([0.3] * 100 + [LOST] * 10, True),
    ],
)
def test_circuit_opens_when_half_of_the_recent_requests_failed(
    outcomes: list[float | ReplyFault], *, is_open: bool
) -> None:
    """Faults of the request do not count."""
    circuit = ModelCircuit("first")

    run_virtually(_note(circuit, *outcomes))

    assert circuit.is_open is is_open


def test_old_faults_do_not_open_the_circuit() -> None:
    circuit = ModelCircuit("first")

    async def a_bad_day() -> None:
        for _ in range(30):
            circuit.failed(LOST)
            await asyncio.sleep(15.0)

    run_virtually(a_bad_day())

    assert not circuit.is_open


@pytest.mark.parametrize("script", [[STALL], ["I was "]], ids=["overtaken", "cut"])
def test_model_that_fails_repeatedly_opens_its_circuit(script: Sequence[Step]) -> None:
    bench = Bench([script], [WELL], hedges=1)

    async def six() -> None:
        for _ in range(6):
            await bench.pieces()

    run_virtually(six())

    assert bench.circuits[0].is_open


def test_model_with_an_open_circuit_is_left_out() -> None:
    bench = Bench([WELL], [["Second.", END]])
    run_virtually(_note(bench.circuits[0], ReplyFault.DENIED))

    assert run_virtually(bench.say()) == "Second."

    assert bench.asked == [0, 1]
    assert bench.counts == ["first open", "fell back to second"]


def test_models_are_asked_when_all_circuits_are_open() -> None:
    """A request may succeed; silence cannot."""
    bench = Bench([WELL], [WELL])
    for circuit in bench.circuits:
        run_virtually(_note(circuit, ReplyFault.DENIED))

    assert run_virtually(bench.say()) == "Well."
    assert bench.asked == [1, 0]


@pytest.mark.parametrize(
    ("why", "script", "closed_at"),
    [
        (LOST, [WELL], 5.0),
        (LOST, [[fault("unavailable")], WELL], 15.0),
        (LOST, [[STALL], WELL], 17.5),
        (LOST, [[], WELL], 15.0),
        (LOST, [[{}], WELL], 15.0),
        (ReplyFault.DENIED, [[fault("denied")], WELL], 120.0),
    ],
)
def test_circuit_is_closed_by_a_probe_in_the_background(
    why: ReplyFault, script: Sequence[Sequence[Step]], closed_at: float
) -> None:
    """Probes are rare and limited in time."""
    bench = Bench(script)
    circuit = bench.circuits[0]

    async def before_and_after() -> list[bool]:
        await _note(circuit, *[why] * 6)
        await asyncio.sleep(closed_at - 0.1)  # of virtual time
        was_open = circuit.is_open
        await asyncio.sleep(0.2)
        is_open = circuit.is_open
        await _note(circuit, *[why] * 6)
        return [was_open, is_open, circuit.is_open]

    assert run_virtually(bench.watched(before_and_after())) == [True, False, True]
    assert bench.counts == ["first open", "first closed", "first open"]
    assert bench.models[0].open_streams == 0


def test_warming_reaches_the_model_in_use_and_the_next() -> None:
    bench = Bench([WELL], [WELL], [WELL])

    run_virtually(bench.model.warm())

    assert [model.warmed for model in bench.models] == [1, 1, 0]


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.sampled_from(["", "Word. ", CALL, END, TOOLS, *map(ModelError, REMEDIES)]),
    st.sampled_from([0.0, 0.1, 1.5, 2.5, 4.0, 60.0]),
)
SCRIPTS = st.lists(st.lists(STEPS, max_size=6), min_size=1, max_size=3)


@given(
    scripts=st.lists(SCRIPTS, min_size=1, max_size=3),
    hedges=st.integers(0, 1),
    leave_after=st.sampled_from([0.0, 0.05, 0.1, 1.5, 1.6, 2.5, 2.7, 4.0, 9.0, 1_000.0]),
    take=st.integers(0, 8),
    is_cancelled=st.booleans(),
)
def test_leaving_at_any_point_leaves_nothing_behind(
    scripts: list[list[list[Step]]],
    hedges: int,
    leave_after: float,
    take: int,
    *,
    is_cancelled: bool,
) -> None:
    """No stream, no task and no empty piece; the wait for the first words has an end."""
    bench = Bench(*scripts, hedges=hedges)
    longest = 4.0 * sum(6 for _ in scripts) + 4 * 2.5

    async def read() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with aclosing(bench.model.reply(ASKED)) as reply:
            for number in range(take):
                try:
                    pieces = await anext(reply)
                    assert pieces
                    assert TextPiece("") not in pieces
                except (ModelError, StopAsyncIteration):
                    return
                finally:
                    assert number or loop.time() - began <= longest

    async def leave() -> None:
        before = asyncio.all_tasks()
        reading = asyncio.create_task(read())
        if is_cancelled:
            await asyncio.wait({reading}, timeout=leave_after)
            reading.cancel()
        await asyncio.wait({reading})
        assert reading.cancelled() or reading.result() is None
        assert asyncio.all_tasks() <= before
        assert not any(model.open_streams for model in bench.models)
        assert bench.streams == {}
        assert sum(bench.asked) <= len(scripts) + 2, "one retry and one hedge at most"

    run_virtually(leave())


def test_whole_reply_has_a_limit_although_words_come() -> None:
    """Nothing is repeated, and the circuit counts no fault: the model was slow and not away."""
    bench = Bench([[2.0, "Well, "] * 20])

    said = run_virtually(bench.watched(bench.say()))

    assert (said, bench.took, bench.asked) == ("timeout", [20.0], [1])


def test_each_model_has_limits_of_its_own() -> None:
    """A slow first choice is waited for, and its fallback as usual."""
    slow = TimeLimits(first_event=30.0, reply=90.0, hedge=0.0)
    patient = Bench([[25.0, *WELL]], [WELL], limits=slow)
    late = Bench([[60.0]], [[60.0]], limits=slow)

    assert run_virtually(patient.watched(patient.say())) == "Well."
    assert run_virtually(late.watched(late.say())) == "timeout"
    assert (patient.took, late.took) == ([25.0], [62.5])


def test_no_second_request_beside_a_model_without_hedges() -> None:
    bench = Bench([[2.4, *WELL]], [WELL], hedges=1.0, limits=TimeLimits(hedge=0.0))

    run_virtually(bench.watched(bench.say()))

    assert (bench.asked, bench.counts) == ([1, 0], [])
