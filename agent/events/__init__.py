"""Events to the operator's systems: an outbox in the table, and what sends it.

`outbox` makes the items, which are written beside what they tell; `delivery` sends them, from any
process; `webhooks` and `aws_sender` are the two ways to send one. A process without an event bus
or topic does not import the AWS SDK.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache

from agent.events.delivery import EventDelivery
from agent.events.outbox import TableOutbox
from agent.events.webhooks import EventSender, Post, WebhookSender
from agent.ports import Count, Store
from agent.usecases.host_allowlist import Secret
from agent.usecases.receivers import Receiver

SenderOf = Callable[[Receiver], EventSender]


@asynccontextmanager
async def open_senders(
    post: Post, secrets: Mapping[str, Secret], region: str, clock: Callable[[], float]
) -> AsyncIterator[SenderOf]:
    """What sends to a receiver; `region`: of buses without an ARN, empty = as the SDK finds it."""
    webhooks = WebhookSender(post, secrets, clock)
    async with AsyncExitStack() as stack:

        @cache
        def aws() -> EventSender:
            from agent.events.aws_sender import AwsSender  # noqa: PLC0415 (the AWS SDK)

            sender = AwsSender(region)
            stack.push_async_exit(sender)
            return sender

        yield lambda receiver: webhooks if receiver.url else aws()


@asynccontextmanager
async def open_outbox(
    store: Store, sender_of: SenderOf, clock: Callable[[], float], count: Count
) -> AsyncIterator[TableOutbox]:
    """The outbox of a process, whose events are sent until it is left."""
    delivery = EventDelivery(store, clock, count, sender_of)
    async with delivery.running():
        yield delivery.outbox
