"""Errors of a request or its stream → `ModelError`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import httpx2
import openai

from agent.call.events import ReplyFault
from agent.call.messages import tokens
from agent.errors import ModelError
from agent.llm.option_repair import FAULTS_BY_STATUS, Refusal, fault_of, known_fault, refusal_of

_FAULTS_BY_CODE = {
    "context_length_exceeded": ReplyFault.TOO_LONG,
    "insufficient_quota": ReplyFault.DENIED,
    "invalid_api_key": ReplyFault.DENIED,
    "model_not_found": ReplyFault.DENIED,
    "rate_limit_exceeded": ReplyFault.THROTTLED,
    "tool_use_failed": ReplyFault.UNAVAILABLE,
}
_UNAVAILABLE = 503
_FAULTS_BY_STATUS = {**FAULTS_BY_STATUS, 409: ReplyFault.UNAVAILABLE}
_LONGEST_MESSAGE = 500
# No refused option has these; it may have 400, 422, 500 and others.
_NOT_OF_THE_REQUEST = frozenset({401, 403, 408, 409, 413, 429, 502, 503, 504, 529})


class ReportedError(ModelError):
    """An error that a server reports; `refusal` is None if it cannot be about an option."""

    def __init__(self, codes: Sequence[object], message: str, body: object, status: int) -> None:
        refusal = refusal_of(body)
        text = refusal.text or message
        super().__init__(_fault(codes, text, status), message)
        self.refusal: Refusal | None = replace(refusal, text=text)
        self.is_loading = status == _UNAVAILABLE and "loading" in text.lower()  # as llama.cpp says


@contextmanager
def client_errors() -> Iterator[None]:
    """Raise errors of the client and of its connections as `ModelError`."""
    try:
        yield
    except (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:
        is_late = isinstance(error, openai.APITimeoutError | httpx2.TimeoutException)
        fault = ReplyFault.TIMEOUT if is_late else ReplyFault.UNAVAILABLE
        raise ModelError(fault, type(error.__cause__ or error).__name__) from error
    except openai.APIError as error:
        status = error.status_code if isinstance(error, openai.APIStatusError) else 500
        reported = ReportedError((error.code, error.type), error.message, error.body, status)
        is_known = isinstance(error.code, str) and error.code in _FAULTS_BY_CODE
        if is_known or status in _NOT_OF_THE_REQUEST:
            reported.refusal = None
        raise reported from error


def reported_error(value: object) -> ReportedError:
    """An error inside a stream: an object, perhaps with a proxy's status, or a message alone."""
    error = value if isinstance(value, dict) else {"message": value}
    codes = (error.get("code"), error.get("type"))
    message = str(error.get("message") or "an error")[:_LONGEST_MESSAGE]
    statuses = map(tokens, (*codes, error.get("status"), error.get("status_code")))
    status = next((each for each in statuses if 400 <= each < 600), 500)
    return ReportedError(codes, message, error, status)


def _fault(codes: Sequence[object], text: str, status: int) -> ReplyFault:
    by_code = (_FAULTS_BY_CODE.get(code) for code in codes if isinstance(code, str))
    if fault := next(filter(None, by_code), None) or known_fault(text):
        return fault
    if status >= 500:
        return ReplyFault.UNAVAILABLE
    return _FAULTS_BY_STATUS.get(status) or fault_of(text)
