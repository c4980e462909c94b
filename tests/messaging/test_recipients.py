"""Which numbers are texted."""

from __future__ import annotations

import pytest

from agent.errors import MessageRefusal, MessageRefusedError
from agent.messaging import ListedMessenger, may_text
from agent.ports import Mail, TextMessage
from tests.fakes import MemoryMessenger


@pytest.mark.parametrize(
    ("sender", "recipient", "listed", "is_texted"),
    [
        ("+15550100000", "+15550100001", (), True),
        ("+15550100000", "+445550100001", (), False),
        ("+15550100000", "+8825550100001", (), False),
        ("+41445550100", "+41795550100", (), True),
        ("+41445550100", "+4235550100", (), False),
        ("+41445550100", "+41795550100", ("+1",), False),
        ("+4235550100", "+4235550199", (), True),
        ("+4235550100", "+41795550100", (), False),
        ("+35315550100", "+353855550100", (), True),
        ("+35315550100", "+352855550100", (), False),
        ("+74955550100", "+79165550100", (), True),
        ("+15550100000", "+18765550100", (), True),
        ("+15550100000", "+18765550100", ("+1555", "+1415"), False),
        ("+15550100000", "+14155550100", ("+1555", "+1415"), True),
        ("+15550100000", "+441632960001", ("+1", "+44"), True),
        ("+15550100000", "+15550100001", ("+15550100001",), True),
        ("+15550100000", "+15550100002", ("+15550100001",), False),
    ],
)
def test_numbers_are_listed_by_their_beginnings(
    sender: str, recipient: str, listed: tuple[str, ...], is_texted: bool
) -> None:
    """Where none is, those of the sender's country are texted, and no others."""
    assert may_text(TextMessage(sender, recipient, "Hello."), listed) is is_texted


async def test_message_to_a_number_that_is_not_listed_is_refused_and_not_sent() -> None:
    """As for good; an e-mail goes its way, and what is lacking is told."""
    inner = MemoryMessenger({"email": "SENDGRID_API_KEY"})
    messenger = ListedMessenger(inner, ("+1555",))
    mail = Mail("ada@example.com", "Ada", "Hello", "<p>Hello</p>")

    with pytest.raises(MessageRefusedError) as refused:
        await messenger.text(TextMessage("+15550100000", "+445550100001", "Hello."))
    sid = await messenger.text(TextMessage("+15550100000", "+15550100001", "Hello."))

    assert refused.value.refusal is MessageRefusal.RECIPIENT
    assert sid
    assert [text.recipient for text in inner.texts] == ["+15550100001"]
    assert messenger.lacking == {"email": "SENDGRID_API_KEY"}
    inner.lacking = {}
    await messenger.mail(mail)
    assert inner.mails == [mail]
