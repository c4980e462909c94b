"""Requests for SMS and e-mail, how their failures are classified, and allowed recipients."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from structlog.testing import capture_logs

from agent.errors import MessageError, MessageRefusal, MessageRefusedError
from agent.messaging import (
    CarrierMessenger,
    ListedMessenger,
    MessengerOptions,
    may_text,
    open_messenger,
)
from agent.messaging.kept_messages import MemoryMessenger
from agent.ports import Channel, Mail, Messenger, TextMessage
from agent.tools.idempotency import PERFORM_SECONDS
from agent.twilio.auth_tokens import AuthTokens
from agent.twilio.rest_client import CONNECT_SECONDS, TOTAL_SECONDS, TwilioAccount, open_http
from tests.emulators.carrier import (
    ACCOUNT,
    MAIL,
    MESSAGES,
    CarrierStandIn,
    Conduct,
    Refused,
    Taken,
    nobody,
    rerouted,
)

OPTIONS = MessengerOptions(
    account=TwilioAccount(ACCOUNT, AuthTokens(["auth-token"])),
    status_callback="https://voice.example.com/messages/status",
    sendgrid_api_key="SG.key",
    email_sender="orders@example.com",
)
TEXT = TextMessage(
    "+15550100099", "+15550100001", "Your table & more: 100% ready, café ☕", "CA1.0a"
)
LETTER = Mail("ada@example.com", "Ada Example", "Your order", "<body><p>a &amp; b</p></body>")

CHANNELS: list[Channel] = ["sms", "email"]
every_channel = pytest.mark.parametrize("channel", CHANNELS)


@pytest.fixture
async def stand_in() -> AsyncIterator[CarrierStandIn]:
    async with CarrierStandIn() as carrier:
        yield carrier


@asynccontextmanager
async def messenger_to(
    http: aiohttp.ClientSession, options: MessengerOptions = OPTIONS
) -> AsyncIterator[Messenger]:
    async with http:
        yield CarrierMessenger(options, http)


async def send(messenger: Messenger, channel: Channel) -> None:
    if channel == "sms":
        await messenger.text(TEXT)
    else:
        await messenger.mail(LETTER)


async def failure(messenger: Messenger, channel: Channel) -> MessageError:
    with pytest.raises(MessageError) as caught:
        await send(messenger, channel)
    return caught.value


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


async def test_requests_have_every_field(stand_in: CarrierStandIn) -> None:
    async with messenger_to(stand_in.session()) as messenger:
        sid = await messenger.text(TEXT)
        await messenger.mail(LETTER)

    assert sid == "SM00000000000000000000000000000001"
    form = {"To": TEXT.recipient, "From": TEXT.sender, "Body": TEXT.body}
    recipient = {"email": "ada@example.com", "name": "Ada Example"}
    mail = {
        "personalizations": [{"to": [recipient]}],
        "from": {"email": "orders@example.com"},
        "subject": "Your order",
        "content": [{"type": "text/html", "value": LETTER.html}],
    }
    assert stand_in.taken == [
        Taken(
            MESSAGES,
            basic(ACCOUNT, "auth-token"),
            {**form, "StatusCallback": "https://voice.example.com/messages/status?message=CA1.0a"},
        ),
        Taken(MAIL, "Bearer SG.key", mail),
    ]


async def test_api_key_is_preferred_to_the_auth_token(stand_in: CarrierStandIn) -> None:
    account = TwilioAccount(ACCOUNT, AuthTokens(["auth-token"]), "SK1", "key-secret")

    async with messenger_to(stand_in.session(), replace(OPTIONS, account=account)) as messenger:
        await messenger.text(TEXT)

    assert [each.login for each in stand_in.taken] == [basic("SK1", "key-secret")]


async def test_optional_fields_are_left_out(stand_in: CarrierStandIn) -> None:
    """No callback without a public address; SendGrid refuses an empty name."""
    async with messenger_to(stand_in.session(), replace(OPTIONS, status_callback="")) as messenger:
        await messenger.text(TEXT)
        await messenger.mail(replace(LETTER, name=""))

    (mail,) = stand_in.mails
    assert [text.keys() for text in stand_in.texts] == [{"To", "From", "Body"}]
    assert mail["personalizations"] == [{"to": [{"email": "ada@example.com"}]}]


@pytest.mark.parametrize(
    ("channel", "refused", "refusal"),
    [
        *(
            (channel, Refused(status), MessageRefusal.OTHER)
            for channel in CHANNELS
            for status in (400, 401, 403, 404, 413, 422, 429)
        ),
        *(
            ("sms", Refused(status, code), refusal)
            for status, code, refusal in [
                (400, 21610, MessageRefusal.OPTED_OUT),
                (400, 21211, MessageRefusal.RECIPIENT),
                (400, 21614, MessageRefusal.RECIPIENT),
                (400, 21612, MessageRefusal.RECIPIENT),
                (403, 21408, MessageRefusal.RECIPIENT),
                (400, 21606, MessageRefusal.OTHER),
                (429, 20429, MessageRefusal.OTHER),
                (429, 21610, MessageRefusal.OTHER),
            ]
        ),
    ],
)
async def test_refused_message_is_certainly_not_sent_and_not_repeated(
    stand_in: CarrierStandIn, channel: Channel, refused: Refused, refusal: MessageRefusal
) -> None:
    """Twilio's error code decides the kind of refusal."""
    stand_in.next = [refused]

    async with messenger_to(stand_in.session()) as messenger:
        error = await failure(messenger, channel)

    assert isinstance(error, MessageRefusedError)
    assert error.refusal is refusal
    assert len(stand_in.taken) == 1


_UNKNOWN = [*map(Refused, (302, 408, 500, 502, 503)), Conduct.HANGS_UP, Conduct.STALLS]


@pytest.mark.parametrize(
    ("channel", "fate"),
    [
        *[(channel, fate) for channel in CHANNELS for fate in _UNKNOWN],
        ("sms", Conduct.HANGS_UP_AMID),
        ("sms", Conduct.BABBLES),
    ],
)
async def test_unknown_outcome_is_no_refusal_and_not_tried_again(
    stand_in: CarrierStandIn, channel: Channel, fate: Refused | Conduct
) -> None:
    """The request was written."""
    stand_in.next = [fate]

    async with messenger_to(stand_in.session()) as messenger:
        error = await failure(messenger, channel)

    assert not isinstance(error, MessageRefusedError)
    assert len(stand_in.taken) == 1


@every_channel
@pytest.mark.parametrize("answers", [True, False], ids=["refused", "too slow"])
async def test_failed_connection_is_a_certain_refusal(channel: Channel, *, answers: bool) -> None:
    async with nobody(answers=answers) as base, messenger_to(rerouted(base)) as messenger:
        error = await failure(messenger, channel)

    assert isinstance(error, MessageRefusedError)


@every_channel
async def test_connection_is_used_once_within_its_limits(
    stand_in: CarrierStandIn, channel: Channel
) -> None:
    async with open_http() as http:
        assert http.connector is not None
        assert http.connector.force_close
        assert (http.timeout.connect, http.timeout.total) == (CONNECT_SECONDS, TOTAL_SECONDS)
    assert CONNECT_SECONDS < TOTAL_SECONDS < PERFORM_SECONDS

    async with messenger_to(stand_in.session()) as messenger:
        await send(messenger, channel)
        await send(messenger, channel)

    assert len(stand_in.taken) == 2


async def test_failure_is_logged_without_number_and_words(stand_in: CarrierStandIn) -> None:
    stand_in.next = [Refused(400, 21610)]

    with capture_logs() as logs:
        async with messenger_to(stand_in.session()) as messenger:
            error = await failure(messenger, "sms")

    assert logs == [{"event": "sms.failed", "log_level": "warning", "status": 400, "code": "21610"}]
    assert str(error) == "opted out: HTTP 400, Twilio error 21610"


@pytest.mark.parametrize(
    ("options", "unconfigured"),
    [
        (OPTIONS, {}),
        (MessengerOptions(), {"sms": "TWILIO_ACCOUNT_SID", "email": "SENDGRID_API_KEY"}),
        (replace(OPTIONS, account=TwilioAccount(ACCOUNT)), {"sms": "TWILIO_AUTH_TOKEN"}),
        (replace(OPTIONS, account=TwilioAccount(ACCOUNT, AuthTokens(), "SK1", "secret")), {}),
        (replace(OPTIONS, sendgrid_api_key=""), {"email": "SENDGRID_API_KEY"}),
    ],
)
async def test_missing_variable_of_a_channel_is_named(
    options: MessengerOptions, unconfigured: dict[Channel, str]
) -> None:
    async with open_messenger(options) as messenger:
        assert dict(messenger.unconfigured) == unconfigured
        for channel in unconfigured:
            assert isinstance(await failure(messenger, channel), MessageRefusedError)


@every_channel
async def test_the_messenger_of_the_tests_distinguishes_sent_refused_and_unknown(
    channel: Channel,
) -> None:
    """As the real one does, by the tests above."""
    messenger = MemoryMessenger()
    await send(messenger, channel)
    messenger.fault = MessageRefusedError(MessageRefusal.OTHER)
    refused = await failure(messenger, channel)
    messenger.fault = MessageError("doubt")
    doubtful = await failure(messenger, channel)

    assert len(messenger.texts) + len(messenger.mails) == 1
    assert isinstance(refused, MessageRefusedError)
    assert not isinstance(doubtful, MessageRefusedError)


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
    """Without a list, the country of the sender."""
    assert may_text(TextMessage(sender, recipient, "Hello."), listed) is is_texted


async def test_message_to_a_number_that_is_not_listed_is_refused_and_not_sent() -> None:
    inner = MemoryMessenger({"email": "SENDGRID_API_KEY"})
    messenger = ListedMessenger(inner, ("+1555",))

    with pytest.raises(MessageRefusedError) as refused:
        await messenger.text(TextMessage("+15550100000", "+445550100001", "Hello."))
    sid = await messenger.text(TextMessage("+15550100000", "+15550100001", "Hello."))

    assert refused.value.refusal is MessageRefusal.RECIPIENT
    assert sid
    assert [text.recipient for text in inner.texts] == ["+15550100001"]
    assert messenger.unconfigured == {"email": "SENDGRID_API_KEY"}
    inner.unconfigured = {}
    await messenger.mail(LETTER)
    assert inner.mails == [LETTER]
