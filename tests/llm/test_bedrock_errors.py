"""Errors of Bedrock before the stream have the fault that decides the next step."""

from __future__ import annotations

import json

import pytest

from agent.call.events import ReplyFault
from agent.llm.bedrock.converse_stream import parse_error

ERRORS = [
    (400, "ThrottlingException", "", ReplyFault.THROTTLED),
    (429, "ThrottlingException", "Too many tokens, please wait", ReplyFault.THROTTLED),
    (400, "ServiceQuotaExceededException", "", ReplyFault.THROTTLED),
    (429, "ModelNotReadyException", "", ReplyFault.UNAVAILABLE),
    (503, "ServiceUnavailableException", "", ReplyFault.UNAVAILABLE),
    (500, "InternalServerException", "", ReplyFault.UNAVAILABLE),
    (500, "InternalServerError", "", ReplyFault.UNAVAILABLE),
    (424, "ModelErrorException", "", ReplyFault.UNAVAILABLE),
    (408, "ModelTimeoutException", "", ReplyFault.TIMEOUT),
    (403, "AccessDeniedException", "", ReplyFault.DENIED),
    (404, "ResourceNotFoundException", "", ReplyFault.DENIED),
    (403, "ExpiredTokenException", "", ReplyFault.DENIED),
    (403, "UnrecognizedClientException", "", ReplyFault.DENIED),
    (400, "IncompleteSignatureException", "", ReplyFault.DENIED),
    (400, "ValidationException", "The model returned: roles must alternate", ReplyFault.REFUSED),
    (400, "ValidationException", "Input is too long for requested model.", ReplyFault.TOO_LONG),
    (
        400,
        "ValidationException",
        "input length and `max_tokens` exceed context limit: 199000 + 300 > 199100",
        ReplyFault.TOO_LONG,
    ),
    (400, "ValidationException", "Too many total text bytes: 1 > 0", ReplyFault.TOO_LONG),
    (400, "ValidationException", "prompt is too long: 9 tokens > 8 maximum", ReplyFault.TOO_LONG),
    (400, "ValidationException", "Number of input tokens exceeds 8", ReplyFault.TOO_LONG),
    (400, "ValidationException", "The provided model identifier is invalid.", ReplyFault.DENIED),
    (
        400,
        "ValidationException",
        "Invocation of model ID x with on-demand throughput is not supported.",
        ReplyFault.DENIED,
    ),
    (
        400,
        "ValidationException",
        "The model produced an invalid sequence as part of ToolUse.",
        ReplyFault.UNAVAILABLE,
    ),
]


@pytest.mark.parametrize(("status", "kind", "message", "fault"), ERRORS)
@pytest.mark.parametrize("place", ["header", "header with an address", "__type", "code"])
def test_kind_decides_the_fault(
    status: int, kind: str, message: str, fault: ReplyFault, place: str
) -> None:
    headers = {"header": kind, "header with an address": f"{kind}:http://internal.amazon.com/"}
    fields = {"__type": f"com.amazon.coral.service#{kind}", "code": kind}
    body = {"message": message} | ({place: fields[place]} if place in fields else {})

    error = parse_error(headers.get(place, ""), json.dumps(body).encode(), status)

    assert (error.kind, error.message, error.fault) == (kind, message, fault)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, ReplyFault.REFUSED),
        (401, ReplyFault.DENIED),
        (403, ReplyFault.DENIED),
        (404, ReplyFault.DENIED),
        (408, ReplyFault.TIMEOUT),
        (413, ReplyFault.TOO_LONG),
        (418, ReplyFault.REFUSED),
        (424, ReplyFault.UNAVAILABLE),
        (429, ReplyFault.THROTTLED),
        (302, ReplyFault.UNAVAILABLE),
        (500, ReplyFault.UNAVAILABLE),
        (502, ReplyFault.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b'{"message": null}', b"\xff"])
def test_without_a_kind_the_status_decides(status: int, fault: ReplyFault, body: bytes) -> None:
    """As for responses of proxies."""
    error = parse_error("", body, status)

    assert (error.fault, str(error)) == (fault, f"{fault}: no kind given (HTTP {status})")


def test_too_long_is_known_without_a_kind() -> None:
    assert parse_error("", b'{"Message": "Input is too long"}', 400).fault is ReplyFault.TOO_LONG


def test_daily_quota_is_named_in_the_error() -> None:
    error = parse_error("ThrottlingException", b'{"message": "Too many tokens per day"}', 429)

    assert str(error) == "throttled: ThrottlingException (HTTP 429, daily quota)"
