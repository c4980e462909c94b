"""A caller is answered if any model can answer, and no failure is heard twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, ReplyRequest, StopReason, TextPiece, ToolCall, Usage
from agent.errors import ModelError
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from tests.fakes import Counted
from tests.llm import contract
from tests.scripted import ScriptedModel, Step
from tests.virtual_time import run_virtually

END = StopReason.END
TOOLS = StopReason.TOOLS
CALL = ToolCall("x", "look", "{}")
ASKED = contract.request("Hello?")
STALL = 60.0
WELL: Sequence[Step] = ["Well.", END]


def fault(name: str) -> ModelError:
    return ModelError(ReplyFault(name), "as the provider put it")


_LINES = {
    "agent_llm_errors_total": "{model} failed: {kind}",
    "agent_llm_retries_total": "{model} retried",
    "agent_llm_fallbacks_total": "fell back to {model}",
    "agent_llm_hedges_total": "hedge {outcome}",
    "agent_llm_breaker_open": "{model} {state}",
}


class _Counted(Counted):
    """Also tells when a circuit breaker is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()

    def __call__(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        super().__call__(metric, amount, **labels)
        if (metric, amount) == ("agent_llm_breaker_open", 0):
            self.closed.set()


class Bench:
    """Models that follow scripts, behind one `FailoverModel`."""

    def __init__(self, *scripts: Sequence[Sequence[Step]], hedges: int = 0) -> None:
        names = ("first", "second", "third")
        self.models = [
            ScriptedModel(script, name) for name, script in zip(names, scripts, strict=False)
        ]
        self.counted = _Counted()
        self.health = [ModelCircuit(model.name, self.counted) for model in self.models]
        self.budget = HedgeBudget(share=float(hedges))
        self.model = FailoverModel(
            [
                Candidate(model, health)
                for model, health in zip(self.models, self.health, strict=True)
            ],
            self.budget,
            self.counted,
            chance=lambda low, high: (low + high) / 2,
        )
        self.took = 0.0
        """Until the end of the last reply, in seconds."""

    @property
    def asked(self) -> list[int]:
        return [len(model.requests) for model in self.models]

    @property
    def counts(self) -> list[str]:
        """What was counted of faults, in order, one line each."""
        return [
            _LINES[metric].format(**labels, state="open" if amount else "closed")
            for metric, amount, labels in self.counted.seen
            if metric in _LINES
        ]

    @property
    def streams(self) -> dict[str, float]:
        """The open streams of each model that has any."""
        streams = self.counted.by("model", "agent_llm_streams_open")
        return {model: count for model, count in streams.items() if count}

    async def pieces(self) -> list[ReplyPiece]:
        """One reply, after which nothing is left over."""
        loop = asyncio.get_running_loop()
        before, began = asyncio.all_tasks(), loop.time()
        try:
            return await contract.pieces_of(self.model, ASKED)
        finally:
            self.took = round(loop.time() - began, 3)
            assert asyncio.all_tasks() <= before
            assert not any(model.open_streams for model in self.models)
            assert not any(self.streams.values())

    def reply(self) -> str:
        """The words of one reply."""
        return contract.said(run_virtually(self.pieces()))

    def failure(self) -> ReplyFault:
        """Why one reply failed."""
        with pytest.raises(ModelError) as caught:
            run_virtually(self.pieces())
        return caught.value.fault


def test_reply_passes_unchanged_but_for_signs_of_life() -> None:
    """A model that works is one request, and its pieces come in order."""
    bench = Bench([["", "One ", "", "two.", CALL, TOOLS]])

    pieces = run_virtually(bench.pieces())

    assert [getattr(piece, "text", type(piece).__name__) for piece in pieces] == [
        "One ",
        "two.",
        "ToolCall",
        "Stopped",
    ]
    assert (bench.asked, bench.counts) == ([1], [])


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
    """They are billed at its price, whoever was asked before or beside it."""
    bench = Bench([first], [["Well.", END, Usage(7, 2)]], hedges=1)

    assert run_virtually(bench.pieces())[-1] == Usage(7, 2, model=who)


@pytest.mark.parametrize(
    ("name", "asked", "took", "events"),
    [
        ("unavailable", [2, 0], 0.0, ["first failed: unavailable", "first retried"]),
        ("timeout", [2, 0], 0.0, ["first failed: timeout", "first retried"]),
        ("throttled", [1, 1], 0.0, ["first failed: throttled", "fell back to second"]),
        ("internal", [1, 1], 0.0, ["first failed: internal", "fell back to second"]),
        ("too_long", [1, 1], 0.0, ["first failed: too_long", "fell back to second"]),
        ("refused", [1, 1], 0.0, ["first failed: refused", "fell back to second"]),
        (
            "denied",
            [1, 1],
            0.0,
            ["first open", "first failed: denied", "fell back to second"],
        ),
    ],
)
def test_what_follows_a_fault_before_the_first_word(
    name: str, asked: list[int], took: float, events: list[str]
) -> None:
    """Each fault has its own way on, and the caller hears an answer at once."""
    bench = Bench([[fault(name)], WELL], [WELL])

    assert bench.reply() == "Well."

    assert (bench.asked, bench.took, bench.counts) == (asked, took, events)


@pytest.mark.parametrize("life", [[""], [" \n"], []])
def test_signs_of_life_are_no_words(life: list[Step]) -> None:
    """A stream that broke off before it said anything is asked for once more."""
    bench = Bench([life, WELL])

    assert bench.reply() == "Well."
    assert bench.counts == ["first failed: unavailable", "first retried"]


def test_lone_throttled_model_is_asked_again_after_a_pause() -> None:
    """Where there is no other model, a moment may help."""
    bench = Bench([[fault("throttled")], WELL])

    assert bench.reply() == "Well."
    assert (bench.asked, bench.took) == ([2], 0.2)


@pytest.mark.parametrize("name", ["internal", "too_long", "refused", "denied"])
def test_lone_model_is_not_asked_again_in_vain(name: str) -> None:
    """What will be the same again is told at once."""
    bench = Bench([[fault(name)], WELL])

    assert bench.failure() == name
    assert bench.asked == [1]


def test_one_retry_in_a_reply() -> None:
    """Then each of the other models has one chance, in order; the last fault is raised."""
    away = [[fault("unavailable")]]
    bench = Bench(away, away, [[fault("throttled")]])

    assert bench.failure() is ReplyFault.THROTTLED
    assert bench.asked == [2, 1, 1]
    assert bench.counts == [
        "first failed: unavailable",
        "first retried",
        "first failed: unavailable",
        "fell back to second",
        "second failed: unavailable",
        "fell back to third",
    ]


def test_request_refused_twice_is_tried_on_a_third_model() -> None:
    """What two models refuse a third one may take; each is asked once."""
    refusing = [[fault("refused")]]
    bench = Bench(refusing, refusing, [WELL])

    assert bench.reply() == "Well."
    assert bench.asked == [1, 1, 1]
    assert Bench(refusing, refusing, refusing).failure() is ReplyFault.REFUSED


@pytest.mark.parametrize("begun", ["I was ", CALL])
def test_nothing_is_repeated_after_the_first_word_or_call(begun: Step) -> None:
    """A sentence is never begun anew and a tool never called twice."""
    bench = Bench([[begun, fault("unavailable")], WELL], [WELL])

    assert bench.failure() is ReplyFault.UNAVAILABLE
    assert (bench.asked, bench.counts) == ([1, 0], [])


def test_stall_in_mid_sentence_is_a_timeout() -> None:
    """Four seconds without anything, and the conversation may apologise."""
    bench = Bench([["I was ", STALL]], [WELL])

    assert bench.failure() is ReplyFault.TIMEOUT
    assert (bench.asked, bench.took) == ([1, 0], 4.0)


def test_signs_of_life_hold_off_the_stall() -> None:
    """A call with long arguments is being written, not stuck."""
    bench = Bench([["", 3.0, "", 3.0, "", 3.0, CALL, TOOLS]])

    pieces = run_virtually(bench.pieces())

    assert pieces[0] == CALL
    assert bench.asked == [1]


@pytest.mark.parametrize("ending", [fault("unavailable"), STALL])
def test_fault_after_the_end_is_no_fault(ending: Step) -> None:
    """Only the count of tokens is lost."""
    bench = Bench([["Well.", END, ending]])

    assert bench.reply() == "Well."


def test_stalling_model_is_left_for_the_next_one() -> None:
    """First event 2.5 s, a retry, then the fallback: heard before the second filler."""
    bench = Bench([[STALL]], [[0.3, *WELL]])

    assert bench.reply() == "Well."
    assert (bench.asked, bench.took) == ([2, 1], 5.3)


def test_models_that_all_stall_fail_within_their_limits() -> None:
    """Each costs its first-event limit, one of them twice."""
    bench = Bench([[STALL]], [[STALL]])

    assert bench.failure() is ReplyFault.TIMEOUT
    assert bench.took == 7.5


def test_late_request_gets_a_rival_on_the_next_model() -> None:
    """Who has words first is heard; the other stream is closed before they are."""
    bench = Bench([[STALL, "Late."]], [[0.3, "Rival.", 1.0, END]], hedges=1)

    async def first_words() -> tuple[str, list[int]]:
        async with aclosing(bench.model.reply(ASKED)) as pieces:
            first = await anext(pieces)
            assert isinstance(first, TextPiece)
            return first.text, [model.open_streams for model in bench.models]

    assert run_virtually(first_words()) == ("Rival.", [0, 1])
    assert bench.counts == ["hedge started", "hedge won"]


def test_streams_are_told_as_long_as_they_are_open() -> None:
    """One, then its rival too, then the rival alone, and none when the reply is over."""
    bench = Bench([[STALL]], [[1.0, "Rival.", 1.0, END]], hedges=1)

    async def watch() -> list[dict[str, float]]:
        reading, seen = asyncio.create_task(bench.pieces()), list[dict[str, float]]()
        for _ in range(3):
            await asyncio.sleep(0.9)  # of virtual time
            seen.append(bench.streams)
        await reading
        return [*seen, bench.streams]

    assert run_virtually(watch()) == [{"first": 1}, {"first": 1, "second": 1}, {"second": 1}, {}]


@pytest.mark.parametrize("after", [0.0, 0.5, 2.0, 3.0])
def test_no_stream_is_told_of_a_reply_that_was_left(after: float) -> None:
    """Before the first word, in a race and after it."""
    bench = Bench([[STALL]], [[1.0, "Rival.", 1.0, END]], hedges=1)

    async def leave() -> None:
        reading = asyncio.create_task(bench.pieces())
        await asyncio.sleep(after)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading

    run_virtually(leave())

    assert sum(bench.asked) > 0
    assert not any(bench.streams.values())


def test_lone_model_is_its_own_rival() -> None:
    """A stall is often one connection's."""
    bench = Bench([[STALL], [0.3, *WELL]], hedges=1)

    assert bench.reply() == "Well."
    assert (bench.asked, bench.took) == ([2], 1.8)


def test_late_model_may_still_win() -> None:
    """The rival's tools never run: nothing of it is seen."""
    bench = Bench([[1.6, *WELL]], [[1.0, CALL, TOOLS]], hedges=1)

    assert bench.reply() == "Well."
    assert bench.counts == ["hedge started"]


def test_model_with_a_sign_of_life_gets_no_rival() -> None:
    """It works on a long call, or thinks."""
    bench = Bench([["", 1.8, *WELL]], [WELL], hedges=1)

    assert bench.reply() == "Well."
    assert bench.asked == [1, 0]


def test_rivals_that_answer_at_once_are_told_apart() -> None:
    """In a tie the first is heard and the second is closed."""
    bench = Bench([[2.0, "First.", 1.0, END]], [[0.5, "Second.", 1.0, END]], hedges=1)

    assert bench.reply() == "First."


def test_rival_that_fails_changes_nothing() -> None:
    """The late request goes on, and the rival's fault is counted."""
    bench = Bench([[1.8, *WELL]], [[fault("internal")]], hedges=1)

    assert bench.reply() == "Well."
    assert bench.counts == ["hedge started", "second failed: internal"]


def test_two_that_fail_together_are_followed_by_what_is_left() -> None:
    """The fault that allows another try decides."""
    bench = Bench([[STALL], WELL], [[fault("refused")]], hedges=1)

    assert bench.reply() == "Well."
    assert bench.asked == [2, 1]


def test_throttling_stops_rivals_for_a_while() -> None:
    """More requests would make it worse."""
    bench = Bench([[fault("throttled")], [1.8, *WELL]], [WELL], hedges=1)

    async def three() -> None:
        await bench.pieces()
        await bench.pieces()
        await asyncio.sleep(30.0)
        await bench.pieces()

    run_virtually(three())

    assert bench.counts.count("hedge started") == 1
    assert bench.asked == [3, 2]


def test_rivals_are_at_most_one_in_twenty() -> None:
    """Five to begin with, then twenty requests earn one; what is saved up has an end."""
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
def test_rival_is_due_when_the_first_is_later_than_usual(times: list[float], after: float) -> None:
    """P95 of recent first events, within 0.8-1.5 s."""
    health = ModelCircuit("first")

    async def tell() -> None:
        for seconds in times:
            health.stream_began(seconds)

    run_virtually(tell())

    assert health.hedge_after == after


async def _tell(health: ModelCircuit, *outcomes: float | ReplyFault) -> None:
    for outcome in outcomes:
        if isinstance(outcome, ReplyFault):
            health.failed(outcome)
        else:
            health.stream_began(outcome)


AWAY = ReplyFault.UNAVAILABLE


@pytest.mark.parametrize(
    ("outcomes", "is_open"),
    [
        ([AWAY] * 5, False),
        ([AWAY] * 6, True),
        ([2.1] * 6, True),
        ([1.9] * 6, False),
        ([0.3, 0.3, 0.3, AWAY, 2.1, ReplyFault.THROTTLED], True),
        ([0.3, 0.3, 0.3, 0.3, AWAY, AWAY], False),
        ([ReplyFault.REFUSED] * 20, False),
        ([ReplyFault.TOO_LONG] * 20, False),
        ([ReplyFault.DENIED], True),
        ([0.3] * 100 + [AWAY] * 9, False),
        ([0.3] * 100 + [AWAY] * 10, True),
    ],
)
def test_breaker_opens_when_half_of_the_recent_requests_were_bad(
    outcomes: list[float | ReplyFault], *, is_open: bool
) -> None:
    """Faults of the request itself say nothing about the model."""
    health = ModelCircuit("first")

    run_virtually(_tell(health, *outcomes))

    assert health.is_open is is_open


def test_old_faults_open_no_breaker() -> None:
    """A minute ago is long ago."""
    health = ModelCircuit("first")

    async def a_bad_day() -> None:
        for _ in range(30):
            health.failed(AWAY)
            await asyncio.sleep(15.0)

    run_virtually(a_bad_day())

    assert not health.is_open


def test_model_overtaken_again_and_again_is_passed_over() -> None:
    """A model that is beaten by its rivals is slow, though nobody waited to see how slow."""
    bench = Bench([[STALL]], [WELL], hedges=1)

    async def six() -> None:
        for _ in range(6):
            await bench.pieces()

    run_virtually(six())

    assert bench.health[0].is_open


def test_open_model_is_passed_over() -> None:
    """No live call finds out whether it is back."""
    bench = Bench([WELL], [["Second.", END]])
    run_virtually(_tell(bench.health[0], ReplyFault.DENIED))

    assert bench.reply() == "Second."

    assert bench.asked == [0, 1]
    assert bench.counts == ["first open", "fell back to second"]


def test_models_are_asked_when_all_are_open() -> None:
    """Something may be said at last; nothing is certain to be silence."""
    bench = Bench([WELL], [WELL])
    for health in bench.health:
        run_virtually(_tell(health, ReplyFault.DENIED))

    assert bench.reply() == "Well."
    assert bench.asked == [1, 0]


@pytest.mark.parametrize(
    ("why", "script", "closed_at"),
    [
        (AWAY, [WELL], 5.0),
        (AWAY, [[fault("unavailable")], WELL], 15.0),
        (AWAY, [[STALL], WELL], 17.5),
        (AWAY, [[], WELL], 15.0),
        (AWAY, [[{}], WELL], 15.0),
        (ReplyFault.DENIED, [[fault("denied")], WELL], 120.0),
    ],
)
def test_breaker_is_closed_by_a_probe_in_the_background(
    why: ReplyFault, script: Sequence[Sequence[Step]], closed_at: float
) -> None:
    """Probes are rare, each is bounded, and none is a live call."""
    bench = Bench(script)
    health = bench.health[0]

    async def until_closed() -> float:
        await _tell(health, *[why] * 6)
        watching = asyncio.create_task(health.probe(bench.models[0], lambda *_: 1.0))
        await bench.counted.closed.wait()
        watching.cancel()
        return asyncio.get_running_loop().time()

    assert run_virtually(until_closed()) == closed_at
    assert bench.counts == ["first open", "first closed"]
    assert bench.models[0].open_streams == 0


def test_watch_probes_again_after_the_next_fall() -> None:
    """It lives as long as the process."""
    bench = Bench([WELL])
    health = bench.health[0]

    async def two_falls() -> None:
        watching = asyncio.create_task(health.probe(bench.models[0], lambda *_: 1.0))
        for _ in range(2):
            await _tell(health, *[AWAY] * 6)
            await asyncio.sleep(6.0)
        watching.cancel()

    run_virtually(two_falls())

    assert bench.counts == ["first open", "first closed"] * 2


def test_warming_reaches_the_model_in_use_and_the_next() -> None:
    """A fallback or a rival shall not pay for its connection either."""
    bench = Bench([WELL], [WELL], [WELL])

    run_virtually(bench.model.warm())

    assert [model.warmed for model in bench.models] == [1, 1, 0]


def test_name_is_the_first_models() -> None:
    """Metrics have a bounded set of names."""
    assert Bench([WELL], [WELL]).model.name == "first"


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.sampled_from(["", "Word. ", CALL, END, TOOLS, *map(ModelError, ReplyFault)]),
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
    """Closed after some pieces, or cancelled at some moment: no open stream and no task."""
    bench = Bench(*scripts, hedges=hedges)

    async def read() -> None:
        async with aclosing(bench.model.reply(ASKED)) as pieces:
            for _ in range(take):
                try:
                    await anext(pieces)
                except (ModelError, StopAsyncIteration):
                    return

    async def leave() -> None:
        before = asyncio.all_tasks()
        reading = asyncio.create_task(read())
        if is_cancelled:
            await asyncio.wait({reading}, timeout=leave_after)
            reading.cancel()
        await asyncio.wait({reading})
        assert asyncio.all_tasks() <= before
        assert not any(model.open_streams for model in bench.models)
        assert sum(bench.asked) <= len(scripts) + 2, "one retry and one rival at most"

    run_virtually(leave())


@given(
    scripts=st.lists(SCRIPTS, min_size=1, max_size=3),
    hedges=st.integers(0, 1),
)
def test_reply_is_one_models_words_or_a_fault_in_time(
    scripts: list[list[list[Step]]], hedges: int
) -> None:
    """No sign of life passes, nothing is mixed, and waiting for the first words has an end."""
    bench = Bench(*scripts, hedges=hedges)

    async def listen() -> float:
        loop = asyncio.get_running_loop()
        try:
            async with aclosing(bench.model.reply(ASKED)) as pieces:
                async for piece in pieces:
                    assert piece != TextPiece("")
                    return loop.time()
        except ModelError:
            pass
        return loop.time()

    longest = 4.0 * sum(6 for _ in scripts) + 4 * 2.5
    assert run_virtually(listen()) <= longest


class Traffic:
    """A model that is quick but for one request in twenty, which stalls."""

    name = "traffic"

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 (reproducible choices, no secrets)
        self.requests = 0

    async def warm(self) -> None:
        pass

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece, None]:
        assert request == ASKED
        self.requests += 1
        is_stalled = self._chance.random() < 0.05
        await asyncio.sleep(STALL if is_stalled else max(0.1, self._chance.gauss(0.4, 0.08)))
        yield TextPiece("Well.")


def _traffic(budget: HedgeBudget, seed: int) -> tuple[list[float], int]:
    """Seconds to the first words of 2,000 replies in order, and how many requests they took."""
    traffic = Traffic(seed)
    model = FailoverModel([Candidate(traffic, ModelCircuit("traffic"))], budget)

    async def time_to_words() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with aclosing(model.reply(ASKED)) as pieces:
            with suppress(ModelError):
                await anext(pieces)
            return loop.time() - began

    async def talk() -> list[float]:
        return sorted([await time_to_words() for _ in range(2_000)])

    return run_virtually(talk()), traffic.requests


def test_rivals_halve_the_slowest_replies(capsys: pytest.CaptureFixture[str]) -> None:
    """One request in twenty stalls: P99 falls to less than half, at 5 % more requests at most."""
    alone, asked_alone = _traffic(HedgeBudget(0.0), seed=2)
    rivalled, asked = _traffic(HedgeBudget(), seed=2)

    with capsys.disabled():
        print(  # noqa: T201 (the figures are wanted beside the result)
            "\nfirst words of 2,000 replies, 5 % stalls:"
            f" P50 {alone[999]:.2f} s alone, {rivalled[999]:.2f} s with rivals;"
            f" P99 {alone[1979]:.2f} s alone, {rivalled[1979]:.2f} s with rivals;"
            f" requests {asked_alone} alone, {asked} with rivals"
        )
    assert rivalled[1979] <= alone[1979] / 2
    assert asked <= asked_alone * 1.05
