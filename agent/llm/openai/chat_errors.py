"""Errors of a request or its stream → `ModelError`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
_NOT_OF_THE_REQUEST = frozenset({401, 403, 408, 409, 413, 429, 502, 503, 504, 529})
"""Statuses that no refused option has; it may have 400, 422, 500 and others."""


class ReportedError(ModelError):
    """An error that a server reports inside a stream."""

    def __init__(self, fault: ReplyFault, detail: str, refusal: Refusal) -> None:
        super().__init__(fault, detail)
        self.refusal = refusal


@contextmanager
def client_errors() -> Iterator[None]:
    """Raise errors of the client and of its connections as `ModelError`."""
    try:
        yield
    except openai.APITimeoutError as error:
        raise ModelError(ReplyFault.TIMEOUT, type(error.__cause__).__name__) from error
    except openai.APIConnectionError as error:
        raise ModelError(ReplyFault.UNAVAILABLE, type(error.__cause__).__name__) from error
    except openai.APIError as error:
        status = error.status_code if isinstance(error, openai.APIStatusError) else 500
        text = refusal_of(error.body).text or error.message
        fault = _fault((error.code, error.type), text, status)
        raise ModelError(fault, error.message) from error
    except httpx2.TimeoutException as error:
        raise ModelError(ReplyFault.TIMEOUT, type(error).__name__) from error
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise ModelError(ReplyFault.UNAVAILABLE, type(error).__name__) from error


def reported_error(value: object) -> ModelError:
    """An error inside a stream: an object, perhaps with a proxy's status, or a message alone."""
    error = value if isinstance(value, dict) else {"message": value}
    codes = (error.get("code"), error.get("type"))
    message = str(error.get("message") or "an error")[:_LONGEST_MESSAGE]
    statuses = map(tokens, (*codes, error.get("status"), error.get("status_code")))
    status = next((each for each in statuses if 400 <= each < 600), 500)
    refusal = refusal_of(error)
    text = refusal.text or message
    return ReportedError(_fault(codes, text, status), message, replace(refusal, text=text))


def refusal_in(error: ModelError) -> Refusal | None:
    """The refusal of the request; None = it failed for another reason."""
    if isinstance(error, ReportedError):
        return error.refusal
    cause = error.__cause__
    if not isinstance(cause, openai.APIError):
        return None
    is_known = isinstance(cause.code, str) and cause.code in _FAULTS_BY_CODE
    status = cause.status_code if isinstance(cause, openai.APIStatusError) else 500
    if is_known or status in _NOT_OF_THE_REQUEST:
        return None
    refusal = refusal_of(cause.body)
    return replace(refusal, text=refusal.text or cause.message)


def is_loading(error: ModelError) -> bool:
    """Whether the server is still loading the model, as llama.cpp says."""
    cause = error.__cause__
    if not isinstance(cause, openai.APIStatusError) or cause.status_code != _UNAVAILABLE:
        return False
    return "loading" in (refusal_of(cause.body).text or cause.message).lower()


def _fault(codes: Iterable[object], text: str, status: int) -> ReplyFault:
    by_code = (_FAULTS_BY_CODE.get(code) for code in codes if isinstance(code, str))
    if fault := next(filter(None, by_code), None) or known_fault(text):
        return fault
    if status >= 500:
        return ReplyFault.UNAVAILABLE
    return _FAULTS_BY_STATUS.get(status) or fault_of(text)
