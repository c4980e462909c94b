"""Errors of Bedrock before the stream have the fault that decides the next step."""

from __future__ import annotations

import json

import pytest

from agent.call.events import ReplyFault
from agent.llm.bedrock.converse_stream import parse_error

INVALID = "ValidationException"
ERRORS = {
    ReplyFault.THROTTLED: [
        (400, "ThrottlingException", ""),
        (429, "ThrottlingException", "Too many tokens, please wait"),
        (400, "ServiceQuotaExceededException", ""),
    ],
    ReplyFault.UNAVAILABLE: [
        (429, "ModelNotReadyException", ""),
        (503, "ServiceUnavailableException", ""),
        (500, "InternalServerException", ""),
        (500, "InternalServerError", ""),
        (424, "ModelErrorException", ""),
        (400, INVALID, "The model produced an invalid sequence as part of ToolUse."),
    ],
    ReplyFault.TIMEOUT: [(408, "ModelTimeoutException", "")],
    ReplyFault.DENIED: [
        (403, "AccessDeniedException", ""),
        (404, "ResourceNotFoundException", ""),
        (403, "ExpiredTokenException", ""),
        (403, "UnrecognizedClientException", ""),
        (400, "IncompleteSignatureException", ""),
        (400, INVALID, "The provided model identifier is invalid."),
        (400, INVALID, "Invocation of model ID x with on-demand throughput is not supported."),
    ],
    ReplyFault.REFUSED: [(400, INVALID, "The model returned: roles must alternate")],
    ReplyFault.TOO_LONG: [
        (400, INVALID, "Input is too long for requested model."),
        (400, INVALID, "input length and `max_tokens` exceed context limit: 199000 + 300 > 199100"),
        (400, INVALID, "Too many total text bytes: 1 > 0"),
        (400, INVALID, "prompt is too long: 9 tokens > 8 maximum"),
        (400, INVALID, "Number of input tokens exceeds 8"),
    ],
}


@pytest.mark.parametrize(
    ("status", "kind", "message", "fault"),
    [(*error, fault) for fault, errors in ERRORS.items() for error in errors],
)
@pytest.mark.parametrize("place", ["header", "header with an address", "__type", "code"])
def test_kind_decides_the_fault(
    status: int, kind: str, message: str, fault: ReplyFault, place: str
) -> None:
    headers = {"header": kind, "header with an address": f"{kind}:http://internal.amazon.com/"}
    fields = {"__type": f"com.amazon.coral.service#{kind}", "code": kind}
    body = {"message": message} | ({place: fields[place]} if place in fields else {})

    error = parse_error(headers.get(place, ""), json.dumps(body).encode(), status)

    assert (error.detail, error.fault) == (message, fault)
    assert error.cause.startswith(f"HTTP {status}, {kind}")


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

    assert (error.fault, error.cause) == (fault, f"HTTP {status}, no code")


def test_too_long_is_known_without_a_kind() -> None:
    assert parse_error("", b'{"Message": "Input is too long"}', 400).fault is ReplyFault.TOO_LONG
