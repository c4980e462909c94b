"""The status callback of SMS; that of calls is in `test_outbound_calls.py`."""

from __future__ import annotations

import pytest
from aiohttp import FormData
from structlog.testing import capture_logs

from tests.servers import ORIGIN, Server

STATUS_URL = f"{ORIGIN}/messages/status"


def report(status: str, **fields: str) -> dict[str, str]:
    return {
        "MessageSid": "SM00000000000000000000000000000001",
        "MessageStatus": status,
        "To": "+15550100001",
        "From": "+15550100099",
        **fields,
    }


@pytest.mark.parametrize(
    ("status", "label"),
    [("sent", "sent"), ("delivered", "delivered"), ("x" * 300, "other"), ("+15550100001", "other")],
)
async def test_sms_status_is_counted_and_answered_with_204(
    server: Server, status: str, label: str
) -> None:
    """Labels are a closed set."""
    with capture_logs() as logs:
        answer = await server.twilio.post(STATUS_URL, report(status))

    assert (answer.status, answer.xml) == (204, "")
    assert await server.metric("agent_messages_total", channel="sms", status=label) == 1
    assert logs == []


@pytest.mark.parametrize("status", ["undelivered", "failed"])
async def test_undelivered_sms_is_logged_with_the_error_and_no_number(
    server: Server, status: str
) -> None:
    with capture_logs() as logs:
        await server.twilio.post(STATUS_URL, report(status, ErrorCode="30007"))

    event = {"event": "sms.delivery_failed", "log_level": "warning"}
    assert logs == [{**event, "status": status, "error_code": 30007}]
    assert await server.metric("agent_messages_total", channel="sms", status=status) == 1


@pytest.mark.parametrize("missing", ["MessageSid", "MessageStatus"])
async def test_sms_status_without_its_fields_is_refused(server: Server, missing: str) -> None:
    fields = report("sent")
    del fields[missing]

    answer = await server.twilio.post(STATUS_URL, fields)

    assert answer.status == 400


async def test_status_that_is_not_a_form_is_refused_and_measured(server: Server) -> None:
    form = FormData()
    form.add_field("MessageStatus", b"\xff", filename="a.txt")

    async with server.twilio.http.post(server.url("/messages/status"), data=form) as answer:
        status = answer.status

    labels = {"route": "/messages/status", "status": "403"}
    assert status == 403
    assert await server.metric("agent_webhook_duration_seconds_count", **labels) == 1
    assert await server.metric("agent_messages_total", channel="sms") == 0
