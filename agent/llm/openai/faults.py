"""What goes wrong with a request or its stream, as the client raises it → `ModelError`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import openai

from agent.conversation.events import ReplyFault
from agent.llm.refusals import Refusal, fault_of, refusal_of, worded
from agent.ports import ModelError

_FAULTS_BY_CODE = {
    "context_length_exceeded": ReplyFault.TOO_LONG,
    "insufficient_quota": ReplyFault.DENIED,
    "invalid_api_key": ReplyFault.DENIED,
    "model_not_found": ReplyFault.DENIED,
    "rate_limit_exceeded": ReplyFault.THROTTLED,
    "tool_use_failed": ReplyFault.UNAVAILABLE,
}
_UNAVAILABLE = 503
_FAULTS_BY_STATUS = {
    401: ReplyFault.DENIED,
    403: ReplyFault.DENIED,
    404: ReplyFault.DENIED,
    408: ReplyFault.TIMEOUT,
    409: ReplyFault.UNAVAILABLE,
    413: ReplyFault.TOO_LONG,
    424: ReplyFault.UNAVAILABLE,
    429: ReplyFault.THROTTLED,
}
_NOT_OF_THE_REQUEST = frozenset({401, 403, 408, 409, 413, 429, 502, 503, 504, 529})
"""Statuses that are about something else than what the request says; servers and proxies in between
give 400, 422, 500 and others for an option that is not supported."""


@contextmanager
def our_faults() -> Iterator[None]:
    """Whatever the client raises in here is a `ModelError`."""
    try:
        yield
    except openai.APITimeoutError as error:
        raise ModelError(ReplyFault.TIMEOUT, type(error.__cause__).__name__) from error
    except openai.APIConnectionError as error:
        raise ModelError(ReplyFault.UNAVAILABLE, type(error.__cause__).__name__) from error
    except openai.APIError as error:
        raise ModelError(_fault(error), error.message) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(ReplyFault.UNAVAILABLE, "an event that is no JSON") from error


def _fault(error: openai.APIError) -> ReplyFault:
    """Of an answer that is an error, or of an error inside a stream, which has no status."""
    status = error.status_code if isinstance(error, openai.APIStatusError) else 500
    if fault := _known(_FAULTS_BY_CODE, error.code) or _known(_FAULTS_BY_CODE, error.type):
        return fault
    text = refusal_of(error.body).text or error.message
    if said := worded(text):
        return said
    if status >= 500:
        return ReplyFault.UNAVAILABLE
    return _FAULTS_BY_STATUS.get(status) or fault_of(text)


def refusal_in(error: BaseException | None) -> Refusal | None:
    """What was refused, if the request as such was; None = it failed for another reason."""
    if not isinstance(error, openai.APIError) or _known(_FAULTS_BY_CODE, error.code):
        return None
    if isinstance(error, openai.APIStatusError) and error.status_code in _NOT_OF_THE_REQUEST:
        return None
    said = refusal_of(error.body)
    return replace(said, text=said.text or error.message)


def is_loading(error: BaseException | None) -> bool:
    """Whether a server says that it has not finished loading the model, as llama.cpp does."""
    if not isinstance(error, openai.APIStatusError) or error.status_code != _UNAVAILABLE:
        return False
    return "loading" in (refusal_of(error.body).text or error.message).lower()


def _known(faults: Mapping[str, ReplyFault], code: object) -> ReplyFault | None:
    return faults.get(code) if isinstance(code, str) else None
