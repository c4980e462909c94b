"""What goes wrong with a request or its stream, as the client raises it → `ModelError`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import httpx2
import openai

from agent.conversation.events import ReplyFault
from agent.conversation.messages import tokens
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
_LONGEST_MESSAGE = 500
_TOO_LONG = ("context length", "context size", "context window", "prompt is too long")
"""How servers without error codes put it, in lower case."""


@contextmanager
def our_faults() -> Iterator[None]:
    """Whatever the client, or the connection under it, raises in here is a `ModelError`."""
    try:
        yield
    except openai.APITimeoutError as error:
        raise ModelError(ReplyFault.TIMEOUT, type(error.__cause__).__name__) from error
    except openai.APIConnectionError as error:
        raise ModelError(ReplyFault.UNAVAILABLE, type(error.__cause__).__name__) from error
    except openai.APIError as error:
        status = error.status_code if isinstance(error, openai.APIStatusError) else 500
        fault = _fault((error.code, error.type), error.message, status)
        raise ModelError(fault, error.message) from error
    except httpx2.TimeoutException as error:
        raise ModelError(ReplyFault.TIMEOUT, type(error).__name__) from error
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise ModelError(ReplyFault.UNAVAILABLE, type(error).__name__) from error


def reported(error: object) -> ModelError:
    """An error inside a stream: an object, or its message alone. Proxies put a status into it."""
    told = error if isinstance(error, dict) else {"message": error}
    codes = (told.get("code"), told.get("type"))
    message = str(told.get("message") or "an error")[:_LONGEST_MESSAGE]
    statuses = map(tokens, (*codes, told.get("status"), told.get("status_code")))
    status = next((each for each in statuses if 400 <= each < 600), 500)
    return ModelError(_fault(codes, message, status), message)


def _fault(codes: Iterable[object], message: str, status: int) -> ReplyFault:
    for code in codes:
        if isinstance(code, str) and code in _FAULTS_BY_CODE:
            return _FAULTS_BY_CODE[code]
    if any(words in message.lower() for words in _TOO_LONG):
        return ReplyFault.TOO_LONG
    if status >= 500:
        return ReplyFault.UNAVAILABLE
    return _FAULTS_BY_STATUS.get(status, ReplyFault.REFUSED)
