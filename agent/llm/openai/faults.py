"""What goes wrong with a request or its stream, as the client raises it → `ModelError`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import openai

from agent.conversation.events import ReplyFault
from agent.ports import ModelError

_FAULTS_BY_CODE = {
    "context_length_exceeded": ReplyFault.TOO_LONG,
    "insufficient_quota": ReplyFault.DENIED,
    "invalid_api_key": ReplyFault.DENIED,
    "model_not_found": ReplyFault.DENIED,
    "rate_limit_exceeded": ReplyFault.THROTTLED,
}
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
_TOO_LONG = ("context length", "context size", "context window", "prompt is too long")
"""How servers without error codes put it, in lower case."""


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
    if any(words in error.message.lower() for words in _TOO_LONG):
        return ReplyFault.TOO_LONG
    if status >= 500:
        return ReplyFault.UNAVAILABLE
    return _FAULTS_BY_STATUS.get(status, ReplyFault.REFUSED)


def _known(faults: Mapping[str, ReplyFault], code: object) -> ReplyFault | None:
    return faults.get(code) if isinstance(code, str) else None
