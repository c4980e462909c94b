"""Whatever becomes of the process of a call: a message that is not delivered has failed once."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from agent.events.outbox import TableOutbox, events_of_call
from agent.messaging.kept_messages import MemoryMessenger
from agent.ports import Item, Store, TextMessage
from agent.session.announcements import CallAnnouncer
from agent.store.memory import MemoryStore
from agent.tools import CallContext
from agent.tools.idempotency import IdempotencyStore
from agent.usecases import Profile
from agent.usecases.receivers import Receiver
from tests.tools.failing_processes import DEATHS, FAILURES, DiedError, Fate, Mortal, mortal_store
from tests.tools.worlds import ADA, CALL_ID, RESTAURANT, ZONE, run
from tests.virtual import virtually

USE_CASE = "restaurantOrderingUseCase"
CRM = Receiver(url="https://crm.example.com/", secret="S", name="crm")
SMS, ABOUT = "SendRestaurantSmsFunction", {"message_type": "location"}


def now() -> float:
    return 1_800_000_000.0 + asyncio.get_running_loop().time()


def outbox_in(store: Store) -> TableOutbox:
    outbox = TableOutbox(store, now)
    outbox.receivers = (CRM,)
    return outbox


class Carrier(MemoryMessenger):
    """Twilio: it reports a while after it has taken a message."""

    def __init__(self, store: MemoryStore, after: float, answers_after: float) -> None:
        super().__init__()
        self._announcer = CallAnnouncer(store, outbox_in(store), now)
        self._after, self._answers_after = after, answers_after
        self.reports: list[asyncio.Task[None]] = []

    async def text(self, message: TextMessage) -> str:
        sid = await super().text(message)
        for _ in range(2):  # it repeats itself
            self.reports.append(asyncio.create_task(self._report(message.reference, sid)))
        await asyncio.sleep(self._answers_after)
        return sid

    async def _report(self, reference: str, sid: str) -> None:
        await asyncio.sleep(self._after)
        await self._announcer.message_failed(reference, sid, "undelivered", 30007)


def calling(store: Store, messenger: MemoryMessenger) -> CallContext:
    """The call, in a process of its own."""
    return CallContext(
        call_id=CALL_ID,
        caller=ADA,
        to=RESTAURANT,
        use_case=USE_CASE,
        profile=Profile(ADA),
        store=store,
        idempotency=IdempotencyStore(store, CALL_ID, now),
        messenger=messenger,
        clock=now,
        time_zone=ZONE,
        outbox=outbox_in(store),
    )


@pytest.mark.parametrize("touch", range(9))
@pytest.mark.parametrize("fate", [*DEATHS, *FAILURES])
@pytest.mark.parametrize(("after", "answers_after"), [(0.0, 1.0), (2.0, 0.0), (0.0, 60.0)])
@virtually
async def test_a_message_that_is_not_delivered_has_failed_once(
    touch: int, fate: Fate, after: float, answers_after: float
) -> None:
    """Told as sent, if at all, before; also when the call asks again on another process.

    An attempt of which nothing was sent, and that is told as refused, is another message.
    """
    store = MemoryStore(now)
    await store.put({"pk": USE_CASE, "sk": "menu", "address": "5 Harbor Lane"})
    connection: Item = {"pk": CALL_ID, "sk": "connection", "From": ADA, "useCase": USE_CASE}
    await store.put(connection)
    carrier = Carrier(store, after, answers_after)

    async with asyncio.TaskGroup() as late:
        with suppress(DiedError):
            dying = mortal_store(store, Mortal({touch: fate}, late=late))
            await run(calling(dying, carrier), SMS, **ABOUT)
    await asyncio.gather(*carrier.reports)
    await run(calling(store, carrier), SMS, **ABOUT)
    await asyncio.gather(*carrier.reports)

    events = await events_of_call(store, CALL_ID)
    others = [event for event in events if '"reason":"refused"' not in event.body]
    told = [kind for kind, _ in dict.fromkeys((event.kind, event.id) for event in others)]
    assert len(carrier.texts) <= 1
    assert told in (["message.sent", "message.failed"], ["message.failed"])
