"""Events reach what listens to a bus or a topic, in a simulated account.

moto judges no signature and no permission: `tests/test_aws_requests.py` holds signatures equal to
those of the SDK.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agent.events.aws_sender import AwsSender
from agent.events.outbox import body_of
from agent.events.webhooks import DeliveryError
from agent.usecases.receivers import Receiver
from tests.templates.conftest import REGION, Account

CALL = "CA00000000000000000000000000000001"


def event(identifier: str, kind: str = "order.placed", **data: object) -> tuple[str, str]:
    """The id and the payload of an event."""
    return identifier, body_of(identifier, kind, 1_700_000_000.0, {"call": CALL, **data})


@pytest.fixture
async def sender(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsSender]:
    for name, value in {
        "AWS_ENDPOINT_URL_EVENTBRIDGE": moto_endpoint,
        "AWS_ENDPOINT_URL_SNS": moto_endpoint,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
    }.items():
        monkeypatch.setenv(name, value)  # the SDK reads them
    async with AwsSender(REGION) as opened:
        yield opened


def queue(account: Account, name: str) -> tuple[str, Callable[[], list[Any]]]:
    """The ARN of a new queue, and what reads its messages."""
    sqs, names = account("sqs"), ["All"]
    settings = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    is_fifo = name.endswith(".fifo")
    url = sqs.create_queue(QueueName=name, Attributes=settings if is_fifo else {})["QueueUrl"]

    def read() -> list[Any]:
        found = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=names, MessageAttributeNames=names
        )
        return list(found.get("Messages", []))

    asked = {"QueueUrl": url, "AttributeNames": ["QueueArn"]}
    return sqs.get_queue_attributes(**asked)["Attributes"]["QueueArn"], read


def topic_to(account: Account, queue_arn: str, **subscribed: str) -> Receiver:
    """A new topic that gives its messages to a queue, as they are."""
    sns, suffix = account("sns"), ".fifo" * queue_arn.endswith(".fifo")
    attributes = {"FifoTopic": "true"} if suffix else {}
    arn = sns.create_topic(Name=f"calls{suffix}", Attributes=attributes)["TopicArn"]
    chosen = {"RawMessageDelivery": "true", **subscribed}
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn, Attributes=chosen)
    return Receiver(topic=arn, name="topic")


async def test_an_event_reaches_the_target_of_a_rule(account: Account, sender: AwsSender) -> None:
    events, (queue_arn, read) = account("events"), queue(account, "listens.fifo")
    arn = events.create_event_bus(Name="calls")["EventBusArn"]
    pattern = json.dumps({"source": ["voice-agent"], "detail-type": ["order.placed"]})
    events.put_rule(Name="orders", EventBusName="calls", EventPattern=pattern)
    target = {"Id": "1", "Arn": queue_arn, "SqsParameters": {"MessageGroupId": "all"}}
    events.put_targets(Rule="orders", EventBusName="calls", Targets=[target])
    placed, sent = event("evt_1", total=12.5), event("evt_2", "message.sent")

    await sender.send(Receiver(event_bus="calls", name="bus"), *sent)
    await sender.send(Receiver(event_bus=arn, name="bus"), *placed)

    [message] = map(json.loads, (each["Body"] for each in read()))
    assert message["detail-type"] == "order.placed"
    assert message["detail"] == json.loads(placed[1])


async def test_a_fifo_topic_keeps_the_order_of_a_call_and_drops_repetitions(
    account: Account, sender: AwsSender
) -> None:
    queue_arn, read = queue(account, "listens.fifo")
    topic = topic_to(account, queue_arn)
    first, second = event("evt_1"), event("evt_2", "call.ended")

    for each in (first, first, second):
        await sender.send(topic, *each)

    messages = read()
    assert [each["Body"] for each in messages] == [first[1], second[1]]
    groups = [each["Attributes"]["MessageGroupId"] for each in messages]
    assert groups == [CALL, CALL]


async def test_a_subscription_may_filter_by_the_kind_of_an_event(
    account: Account, sender: AwsSender
) -> None:
    queue_arn, read = queue(account, "listens")
    topic = topic_to(account, queue_arn, FilterPolicy=json.dumps({"type": ["call.ended"]}))

    for each in (event("evt_1"), event("evt_2", "call.ended")):
        await sender.send(topic, *each)

    [message] = read()
    attributes = {name: each["StringValue"] for name, each in message["MessageAttributes"].items()}
    assert attributes == {"id": "evt_2", "type": "call.ended"}


async def test_a_test_event_without_a_call_goes_to_a_fifo_topic(
    account: Account, sender: AwsSender
) -> None:
    queue_arn, read = queue(account, "listens.fifo")
    body = body_of("evt_test_1", "events.test", 1_700_000_000.0, {})

    await sender.send(topic_to(account, queue_arn), "evt_test_1", body)

    assert [each["Body"] for each in read()] == [body]


@pytest.mark.parametrize(
    ("receiver", "fault"),
    [
        (Receiver(topic=f"arn:aws:sns:{REGION}:123456789012:none"), "the topic refused: NotFound"),
        (Receiver(topic=f"arn:aws:sns:{REGION}:123456789012:none.fifo"), "the topic refused: Not"),
    ],
)
async def test_a_place_that_is_missing_may_be_made_yet(
    account: Account, sender: AwsSender, receiver: Receiver, fault: str
) -> None:
    with pytest.raises(DeliveryError, match=fault) as refused:
        await sender.send(receiver, *event("evt_1"))

    assert not refused.value.is_final


async def test_an_event_that_is_too_long_for_a_topic_is_given_up(
    account: Account, sender: AwsSender
) -> None:
    made = account("sns").create_topic(Name="calls")
    receiver = Receiver(topic=made["TopicArn"], name="topic")

    with pytest.raises(DeliveryError, match="the topic refused: InvalidParameter") as refused:
        await sender.send(receiver, *event("evt_1", remarks="x" * 262_145))

    assert refused.value.is_final
