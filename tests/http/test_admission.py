"""Which calls are taken, what is answered at capacity, and the limits of one caller."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from structlog.testing import capture_logs

from agent.call.config import Phrases
from agent.call.messages import ReplyPiece, ReplyRequest, Stopped, StopReason, TextPiece, Usage
from agent.errors import MessageError, StoreError
from agent.http.middleware import TROUBLE
from agent.http.voice_webhook import BUSY, TOO_MANY, TOO_OFTEN
from agent.messaging.kept_messages import MemoryMessenger
from agent.ports import Item, Messenger, Pause, Store, TextMessage, no_pause
from agent.session import outbound as dials
from agent.simulator.carrier import call_fields
from agent.simulator.simulated_call import Manner
from agent.simulator.twiml_reader import TwimlAnswer
from agent.store.memory import MemoryStore
from tests.fakes import Clock
from tests.servers import ACTION_URL, VOICE_URL, Server, heard_out, settings_for, staged
from tests.stores import CountingStore
from tests.waiting import until

ADA, GRACE, OURS = "+15550100001", "+15550100002", "+15550100000"
RESTAURANT = "restaurantOrderingUseCase"
NOW = 1_900_000_000.0
RECORD: Item = {
    "pk": RESTAURANT,
    "sk": "configuration",
    "prompt": "Sell pizza.",
    "conversationRelayParams": {"welcomeGreeting": "Hello."},
}
ACCOUNT = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32}


class Costly:
    """`ports.LanguageModel` that agrees and reports token usage."""

    name = "costly:"

    async def warm(self) -> None:
        pass

    async def reply(
        self, _: ReplyRequest, _pause: Pause = no_pause
    ) -> AsyncGenerator[list[ReplyPiece], None]:
        yield [TextPiece("Yes. "), Stopped(StopReason.END)]
        yield [Usage(input=100, output=20, cache_read=300, cache_write=4)]


@dataclass(frozen=True, slots=True)
class Shop:
    """A process that serves one use case, with a clock that the test sets."""

    server: Server
    store: MemoryStore
    clock: Clock

    async def ring(self, caller: str = ADA, query: str = "", **fields: str) -> TwimlAnswer:
        url = f"{VOICE_URL}{query}"
        return await self.server.twilio.post(url, call_fields(From=caller, **fields))

    async def ring_ada(self, token: str = "", **fields: str) -> TwimlAnswer:
        """The webhook of an outbound call, of a new one without the token of an earlier one."""
        told = {"To": ADA, "Direction": "outbound-api", **fields}
        return await self.ring(OURS, f"?dial={token or await self.dial_ada()}", **told)

    async def dial_ada(self) -> str:
        call = dials.OutboundCallRecord(ADA, OURS, RESTAURANT)
        return await dials.record_call(self.store, call, NOW)

    async def refused(self, reason: str) -> float:
        return await self.server.metric("agent_calls_refused_total", reason=reason)


@asynccontextmanager
async def open_shop(
    environment: Mapping[str, str],
    other: Shop | None = None,
    *,
    table: Callable[[MemoryStore], Store] = lambda store: store,
    messenger: Messenger | None = None,
) -> AsyncIterator[Shop]:
    """A process, with the store and the clock of another one. `table` wraps the store."""
    clock = other.clock if other else Clock(NOW)
    store = other.store if other else MemoryStore(clock)
    await store.put(dict(RECORD))
    async with staged(
        settings_for(Path("unused"), **environment),
        table(store),
        lambda *_: Costly(),
        clock=clock,
        messenger=messenger,
    ) as server:
        yield Shop(server, store, clock)


async def test_burst_of_webhooks_is_taken_up_to_the_limit() -> None:
    """All webhooks come before the first socket."""
    async with open_shop(
        {"MAX_CALLS": "10"}, table=lambda store: CountingStore(store, 0.02)
    ) as shop:
        callers = [f"+1555020{number:04}" for number in range(50)]
        answers = await asyncio.gather(*(shop.ring(caller) for caller in callers))
        reserved = await shop.server.metric("agent_reserved_calls")
        refused = await shop.refused("busy")

    verbs = [answer.verbs for answer in answers]
    assert (verbs.count(("Connect",)), verbs.count(("Say", "Hangup"))) == (10, 40)
    assert (reserved, refused) == (10, 40)


async def _is_over(shop: Shop) -> None:
    async with shop.server.twilio.call(From=ADA) as call:
        await call.say("are you open")
    await shop.server.calls.until_quiet()


async def _never_comes(shop: Shop) -> None:
    await shop.server.relay(From=ADA)
    shop.clock.seconds += 15.0


async def _is_over_before_its_socket(shop: Shop) -> None:
    relay = await shop.server.relay(From=ADA)
    fields = {**relay.fields, "CallStatus": "completed"}
    await shop.server.twilio.post(ACTION_URL, fields)


async def _cannot_be_set_up(shop: Shop) -> None:
    await shop.store.merge(RESTAURANT, "configuration", {"prompt": " "})
    answer = await shop.ring()
    await shop.store.merge(RESTAURANT, "configuration", {"prompt": "Sell pizza."})
    assert TROUBLE in answer.xml


async def _has_a_wrong_token(shop: Shop) -> None:
    relay = await shop.server.relay(From=ADA)
    url = f"{relay.url}x"
    signature = shop.server.twilio.sign(url)
    assert await shop.server.twilio.handshake(url, signature=signature) == 403


async def _says_that_it_is_another(shop: Shop) -> None:
    manner = Manner(setup={"callSid": "CA" + "9" * 32})
    async with shop.server.twilio.call(manner=manner, From=ADA) as call:
        await call.settle()


async def _hangs_up_before_it_says_anything(shop: Shop) -> None:
    async with shop.server.twilio.dial(await shop.server.relay(From=ADA)):
        pass


async def _is_refused_by_a_limit(shop: Shop) -> None:
    await shop.store.put({"pk": f"usage::{ADA}", "sk": "call::CA1"})
    await shop.store.put({"pk": f"usage::{ADA}", "sk": "call::CA2"})
    answer = await shop.ring()
    assert TOO_OFTEN in answer.xml


_CALLS = (
    *(_is_over, _never_comes, _is_over_before_its_socket, _cannot_be_set_up, _has_a_wrong_token),
    *(_says_that_it_is_another, _hangs_up_before_it_says_anything, _is_refused_by_a_limit),
)


@pytest.mark.parametrize("one_call", _CALLS)
async def test_slot_is_free_after_a_call_that(one_call: Callable[[Shop], Awaitable[None]]) -> None:
    async with open_shop({"MAX_CALLS": "1", "CALLER_CALLS_PER_HOUR": "2"}) as shop:
        await one_call(shop)
        await until(lambda: shop.server.calls.admission.active == 0)

        answer = await shop.ring(GRACE)

    assert answer.verbs == ("Connect",)


async def test_call_prepared_elsewhere_is_taken_up_to_twice_the_limit() -> None:
    """Its caller has heard the greeting."""
    async with (
        open_shop({"MAX_CALLS": "1"}) as full,
        open_shop({"MAX_CALLS": "2"}, full) as other,
        full.server.twilio.call(From=ADA) as first,
    ):
        others = [await other.server.relay(From=GRACE) for _ in range(2)]
        async with full.server.twilio.connect(others[0]) as second:
            replies = [await first.say("are you open"), await second.say("are you open")]
            active = await full.server.metric("agent_active_calls")
            signature = full.server.twilio.sign(others[1].url)
            status = await full.server.twilio.handshake(others[1].url, signature=signature)
            refused = await full.refused("full")
        async with other.server.twilio.connect(others[1]) as third:
            replies.append(await third.say("are you open"))

    assert [reply.text for reply in replies] == ["Yes."] * 3
    assert (active, status, refused) == (2, 503, 1)


async def _turned_away(query: str = "", **environment: str) -> list[tuple[str, str]]:
    """The answer to one call more than the limit: each verb with its text."""
    async with open_shop({"MAX_CALLS": "1", **environment}) as shop:
        await shop.ring()
        answer = await shop.ring(GRACE, query)
    return [(verb.tag, verb.text or "") for verb in ET.fromstring(answer.xml)]  # noqa: S314 (ours)


EU = "https://eu.example.com/twiml?key=a%26b"


@pytest.mark.parametrize(
    ("environment", "answer"),
    [
        ({}, [("Say", BUSY), ("Hangup", "")]),
        ({"BUSY_SENTENCE": "No & no."}, [("Say", "No & no."), ("Hangup", "")]),
        ({"BUSY_REDIRECT_URL": EU}, [("Redirect", f"{EU}&attempt=1")]),
        (
            {"BUSY_REDIRECT_URL": "https://eu.example.com", "BUSY_SENTENCE": "One moment."},
            [("Say", "One moment."), ("Redirect", "https://eu.example.com/?attempt=1")],
        ),
        ({"BUSY_QUEUE": "Front desk"}, [("Enqueue", "Front desk")]),
        (
            {"BUSY_QUEUE": "desk", "BUSY_SENTENCE": "Please hold."},
            [("Say", "Please hold."), ("Enqueue", "desk")],
        ),
    ],
)
async def test_call_at_capacity_gets_the_configured_answer(
    environment: Mapping[str, str], answer: list[tuple[str, str]]
) -> None:
    assert await _turned_away(**environment) == answer


async def test_call_is_redirected_three_times_at_most() -> None:
    answers = [
        await _turned_away(f"?attempt={sent}", BUSY_REDIRECT_URL="https://eu.example.com/twiml")
        for sent in ("2", "3", "x", "999")
    ]

    told = [("Say", BUSY), ("Hangup", "")]
    assert answers == [
        [("Redirect", "https://eu.example.com/twiml?attempt=3")],
        *[told] * 3,
    ]


async def test_outbound_call_at_capacity_hears_the_sentence_only() -> None:
    """No queue and no SMS."""
    messenger = MemoryMessenger()
    environment = {"MAX_CALLS": "1", "BUSY_QUEUE": "desk", "BUSY_SMS": "Call again.", **ACCOUNT}
    async with open_shop(environment, messenger=messenger) as shop:
        await shop.ring(GRACE)
        answer = await shop.ring_ada()

    assert (answer.verbs, messenger.texts) == (("Say", "Hangup"), [])


class _LateMessenger(MemoryMessenger):
    """Sends when `may_send` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.may_send = asyncio.Event()

    async def text(self, message: TextMessage) -> str:
        await self.may_send.wait()
        return await super().text(message)


async def test_caller_at_capacity_is_texted_once_an_hour_by_all_processes() -> None:
    """The answer does not wait for the SMS."""
    messenger = _LateMessenger()
    environment = {"MAX_CALLS": "1", "BUSY_SMS": "We will call you back.", **ACCOUNT}
    async with (
        open_shop(environment, messenger=messenger) as shop,
        open_shop(environment, shop, messenger=messenger) as other,
    ):
        for one in (shop, other):
            await one.ring("+15550100009")
        answers = [await shop.ring(GRACE), await shop.ring(GRACE), await other.ring(GRACE)]
        messenger.may_send.set()
        await until(lambda: len(messenger.texts) == 1)
        shop.clock.seconds += 3601.0
        for one in (shop, other):
            await one.ring("+15550100009")
            answers.append(await one.ring(GRACE))
        await until(lambda: len(messenger.texts) == 2)

    assert [answer.verbs for answer in answers] == [("Say", "Hangup")] * 5
    assert messenger.texts == [TextMessage(OURS, GRACE, "We will call you back.")] * 2


@pytest.mark.parametrize(
    ("listed", "texted"),
    [("", ["+15550100003"]), ("+44,+4179", ["+447700900001", "+41795550100"])],
)
async def test_only_trusted_numbers_that_are_listed_are_texted(
    listed: str, texted: list[str]
) -> None:
    """Without a list, those of the country of our number."""
    messenger = MemoryMessenger()
    environment = {"MAX_CALLS": "1", "BUSY_SMS": "Call again.", "SMS_NUMBERS": listed, **ACCOUNT}
    async with open_shop(environment, messenger=messenger) as shop:
        await shop.ring()
        for forged in (GRACE, "+447700900002"):
            await shop.ring(forged, StirVerstat="TN-Validation-Failed")
        for caller in ("client:ada", "anonymous", "+266696687", "+8821234567890"):
            await shop.ring(caller)
        for caller in ("+15550100003", "+447700900001", "+41795550100"):
            await shop.ring(caller)
        await until(lambda: len(messenger.texts) == len(texted))

    assert [text.recipient for text in messenger.texts] == texted


async def test_at_most_one_hundred_texts_are_sent_at_once() -> None:
    messenger = _LateMessenger()
    environment = {"MAX_CALLS": "1", "BUSY_SMS": "We will call you back.", **ACCOUNT}
    async with open_shop(environment, messenger=messenger) as shop:
        await shop.ring()
        answers = [await shop.ring(f"+1555020{number:04}") for number in range(110)]
        messenger.may_send.set()
        await until(lambda: len(messenger.texts) == 100)

    assert {answer.verbs for answer in answers} == {("Say", "Hangup")}
    assert len(messenger.texts) == 100


async def test_text_that_cannot_be_sent_or_counted_does_not_change_the_answer() -> None:
    """One process does not send it twice while the table is unavailable."""

    class Away(MemoryStore):
        async def put(
            self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            raise StoreError("away")

    messenger = MemoryMessenger()
    environment = {"MAX_CALLS": "1", "BUSY_SMS": "We will call you back.", **ACCOUNT}
    async with open_shop(environment, messenger=messenger, table=lambda _: Away()) as shop:
        shop.server.calls.admission.reserve("CA1")
        answers = [await shop.ring(GRACE), await shop.ring(GRACE)]
        await until(lambda: len(messenger.texts) == 1)
        messenger.fault = MessageError("away")
        answers.append(await shop.ring(ADA))

    assert [answer.verbs for answer in answers] == [("Say", "Hangup")] * 3
    assert [text.recipient for text in messenger.texts] == [GRACE]


async def test_draining_process_redirects_a_new_call_three_times() -> None:
    """The token of an outbound call stays in the URL."""
    async with open_shop({}) as shop:
        token = await shop.dial_ada()
        shop.server.calls.active_calls.drain()
        answers = [await shop.ring(GRACE, query) for query in ("", "?attempt=1", "?attempt=2")]
        last = await shop.ring(GRACE, "?attempt=3")
        made = await shop.ring_ada(token, CallSid="CA1")
        machine = await shop.ring_ada(token, CallSid="CA1", AnsweredBy="machine_start")

    paused = '<Response><Pause length="1" /><Redirect method="POST">'
    sent_to = [answer.xml.partition(paused)[2].partition("</Redirect>")[0] for answer in answers]
    assert sent_to == [f"{VOICE_URL}?attempt={number}" for number in (1, 2, 3)]
    assert BUSY in last.xml
    assert f"{VOICE_URL}?dial={token}&amp;attempt=1</Redirect>" in made.xml
    assert machine.verbs == ("Say", "Hangup")


@pytest.mark.parametrize("query", ["?verstat=TN-Validation-Failed", "?attempt=1&verstat=x"])
async def test_attestation_of_the_number_is_forwarded_in_the_url(query: str) -> None:
    """Twilio sends it with the first webhook only; a new value replaces an old one."""
    told = {"StirVerstat": "TN-Validation-Failed-B"}
    async with (
        open_shop({}) as shop,
        open_shop({"MAX_CALLS": "1", "BUSY_REDIRECT_URL": "https://eu.example.com/"}) as full,
    ):
        await full.ring()
        shop.server.calls.active_calls.drain()
        answers = [await shop.ring(GRACE, query, **told), await full.ring(GRACE, query, **told)]
        kept = await shop.ring(GRACE, "?verstat=TN-Validation-Passed-A")

    sent = [re.findall("verstat=([^&<]*)", answer.xml) for answer in answers]
    assert sent == [["TN-Validation-Failed-B"]] * 2
    assert "?verstat=TN-Validation-Passed-A&amp;attempt=1<" in kept.xml


async def test_overloaded_process_rejects_new_calls_and_keeps_its_own() -> None:
    """A repeated webhook of a reserved call is not new."""
    async with open_shop({}) as shop:
        waiting = call_fields(From=ADA)
        await shop.server.ring(waiting)
        async with shop.server.twilio.call(From=ADA) as call:
            for _ in range(8):
                shop.server.calls.load.note(0.5)
            refused = await shop.ring(GRACE)
            again = await shop.server.ring(waiting)
            reply = await call.say("are you open")
            counted = await shop.refused("overload")
            for _ in range(8):
                shop.server.calls.load.note(0.0)
            taken = await shop.ring(GRACE)

    assert (refused.verbs, counted) == (("Say", "Hangup"), 1)
    assert (again.verbs, taken.verbs, reply.text) == (("Connect",), ("Connect",), "Yes.")


@pytest.mark.parametrize(("limit", "at_once"), [("3", 60), ("1", 7)])
async def test_simultaneous_calls_in_two_processes_respect_the_limit_of_a_caller(
    limit: str, at_once: int
) -> None:
    limits = {"CALLER_CALLS_PER_HOUR": limit, "CALLER_CALLS_AT_ONCE": "0"}

    def slow(table: MemoryStore) -> Store:
        return CountingStore(table, 0.02)

    async with (
        open_shop(limits, table=slow) as shop,
        open_shop(limits, shop, table=slow) as other,
    ):
        rung = [(shop, other)[number % 2].ring() for number in range(at_once)]
        answers = await asyncio.gather(*rung)
        others = await shop.ring(GRACE)

    verbs = [answer.verbs for answer in answers]
    assert verbs.count(("Connect",)) == int(limit)
    assert sum(TOO_OFTEN in answer.xml for answer in answers) == at_once - int(limit)
    assert others.verbs == ("Connect",)


async def test_one_caller_cannot_take_all_slots() -> None:
    """Neither with webhooks whose sockets never come, nor with calls."""
    async with open_shop({"MAX_CALLS": "10"}) as shop:
        waiting = [await shop.ring() for _ in range(20)]
        forged = await shop.ring(StirVerstat="TN-Validation-Failed")
        others = [await shop.ring(each) for each in (GRACE, "client:ada", *["anonymous"] * 4)]
        counted = await shop.refused("caller_seats")
        reserved = await shop.server.metric("agent_reserved_calls")

    assert [each.verbs for each in waiting] == [("Connect",)] * 3 + [("Say", "Hangup")] * 17
    assert all(TOO_MANY in each.xml for each in (*waiting[3:], forged))
    assert {each.verbs for each in others} == {("Connect",)}
    assert (counted, reserved) == (18, 9)


async def test_slots_of_a_caller_are_free_after_their_calls() -> None:
    """Also of calls prepared in another process."""
    limit = {"CALLER_CALLS_AT_ONCE": "1"}
    async with open_shop(limit) as shop, open_shop(limit, shop) as other:
        relay = await other.server.relay(From=ADA)
        async with shop.server.twilio.connect(relay) as call:
            await call.say("are you open")
            during = await shop.ring()
        await shop.server.calls.until_quiet()
        after = await shop.ring()
        shop.clock.seconds += 15.0
        later = await shop.ring()

    answers = [during, after, later]
    assert [each.verbs for each in answers] == [("Say", "Hangup"), ("Connect",), ("Connect",)]


@pytest.mark.parametrize("limit", ["CALLER_CALLS_AT_ONCE", "CALLER_CALLS_PER_HOUR"])
async def test_outbound_calls_do_not_count_for_the_limits_of_a_caller(limit: str) -> None:
    """An app cannot claim that its call is outbound."""
    async with open_shop({limit: "1"}) as shop:
        await shop.ring(ADA)
        await shop.server.calls.until_written()
        made = await shop.ring_ada()
        forged = {"outboundUseCase": RESTAURANT, "To": GRACE}
        apps = [await shop.ring("client:ada", **forged) for _ in range(2)]

    assert made.verbs == ("Connect",)
    assert [each.verbs for each in apps] == [("Connect",), ("Say", "Hangup")]


async def test_caller_above_the_hourly_limit_is_rejected_until_the_hour_is_over() -> None:
    """In both processes; other callers are not, and no number is logged."""
    limit = {"CALLER_CALLS_PER_HOUR": "2"}
    with capture_logs() as logged:
        async with open_shop(limit) as shop, open_shop(limit, shop) as other:
            fields = call_fields(From=ADA)
            taken = [await shop.server.ring(fields), await shop.server.ring(fields)]
            await shop.server.calls.until_written()
            shop.clock.seconds += 60.0
            taken.append(await other.ring())
            await other.server.calls.until_written()
            refused = [await shop.ring(), await other.ring()]
            again = await shop.server.ring(fields)
            others = [await shop.ring(each) for each in (GRACE, *["anonymous"] * 4)]
            counted = await shop.refused("caller_rate")
            shop.clock.seconds += 3541.0
            later = await shop.ring()

    assert [each.verbs for each in (*taken, again, *others, later)] == [("Connect",)] * 10
    assert [each.verbs for each in refused] == [("Say", "Hangup")] * 2
    assert TOO_OFTEN in refused[0].xml
    assert counted == 1
    assert ADA not in str(logged)


async def test_caller_above_the_daily_tokens_is_rejected_until_the_day_is_over() -> None:
    """All kinds of tokens of all their calls."""
    async with open_shop({"CALLER_TOKENS_PER_DAY": "800"}) as shop:
        for _ in range(2):
            await _is_over(shop)
            shop.clock.seconds += 60.0
        kept = [item["tokens"] for item in await shop.store.query(f"usage::{ADA}", "tokens::")]
        refused = await shop.ring()
        counted = await shop.refused("caller_spend")
        shop.clock.seconds += 24 * 3600.0
        later = await shop.ring()

    assert kept == [424, 424]
    assert (refused.verbs, counted, later.verbs) == (("Say", "Hangup"), 1, ("Connect",))


async def test_call_ends_with_a_goodbye_when_the_tokens_are_spent() -> None:
    """Checked before each turn: no further request to the model."""
    async with open_shop({"CALLER_TOKENS_PER_DAY": "800"}) as shop:
        async with shop.server.twilio.call(From=ADA) as call:
            replies = [await call.say("are you open") for _ in range(3)]
            ending = await heard_out(call)
        await shop.server.calls.until_quiet()
        spent = [item["tokens"] for item in await shop.store.query(f"usage::{ADA}", "tokens::")]
        ended = await shop.server.metric("agent_calls_total", end_reason="caller_spend")

    assert [reply.text for reply in replies] == ["Yes.", "Yes.", Phrases().goodbye_spent]
    assert (spent, ended) == ([848], 1)
    assert "goodbye" in str(ending)


@pytest.mark.parametrize("limit", [{"CALL_TOKENS": "800"}, {"CALL_COST": "0.003"}])
async def test_call_ends_with_a_goodbye_when_it_has_spent_its_own_limit(
    limit: dict[str, str], tmp_path: Path
) -> None:
    """Also that of a caller without a number; the next call begins anew."""
    prices = tmp_path / "prices.toml"
    prices.write_text(
        'currency = "EUR"\n[models."costly:"]\ninput = 0.01\noutput = 0.02\n'
        "cache_read = 0.001\ncache_write = 0.01\n"
    )
    async with open_shop({**limit, "PRICES_FILE": str(prices)}) as shop:
        async with shop.server.twilio.call(From="anonymous") as call:
            replies = [await call.say("are you open") for _ in range(3)]
            await heard_out(call)
        async with shop.server.twilio.call(From="anonymous") as call:
            again = await call.say("are you open")
        ended = await shop.server.metric("agent_calls_total", end_reason="call_spend")

    assert [reply.text for reply in replies] == ["Yes.", "Yes.", Phrases().goodbye_spent_call]
    assert (again.text, ended) == ("Yes.", 1)


@pytest.mark.parametrize("is_forged", [False, True])
async def test_tokens_of_parallel_calls_count_at_once(is_forged: bool) -> None:
    """In another process too, and with a forged number."""
    limit = {"CALLER_TOKENS_PER_DAY": "800"}
    verstat = "TN-Validation-Failed" if is_forged else ""
    async with (
        open_shop(limit) as shop,
        open_shop(limit, shop) as other,
        shop.server.twilio.call(From=ADA) as first,
        other.server.twilio.call(From=ADA, StirVerstat=verstat) as second,
        shop.server.twilio.call(From=GRACE) as third,
    ):
        replies = [await one.say("are you open") for one in (first, second)]
        replies += [await first.say("and tomorrow"), await second.say("and tomorrow")]
        others = await third.say("are you open")

    assert [reply.text for reply in replies] == ["Yes.", "Yes.", "Yes.", Phrases().goodbye_spent]
    assert others.text == "Yes."


async def test_limits_are_not_applied_while_the_table_is_unavailable() -> None:
    class Forgetful(MemoryStore):
        async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
            if pk.startswith("usage::"):
                raise StoreError("throttled")
            return await super().query(pk, sk_prefix)

        async def put(
            self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            if str(item["pk"]).startswith("usage::"):
                raise StoreError("throttled")
            return await super().put(item, only_if_absent=only_if_absent, beside=beside)

    store = Forgetful()
    await store.put(dict(RECORD))
    limits = dict.fromkeys(("CALLER_CALLS_PER_HOUR", "CALLER_TOKENS_PER_DAY"), "1")
    limits["CALLER_CALLS_AT_ONCE"] = "0"
    async with open_shop(limits, table=lambda _: store) as shop:
        answers = [await shop.ring() for _ in range(3)]
        async with shop.server.twilio.call(From=ADA) as call:
            reply = await call.say("are you open")

    assert [answer.verbs for answer in answers] == [("Connect",)] * 3
    assert reply.text == "Yes."
