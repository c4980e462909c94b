"""Whether a host is worth asking at the moment.

A system that is down is down for every call: without this, each caller would wait for the time
limit. After some failures in a row nobody asks for a while; then one may try, and its outcome
decides. A request that was cancelled says nothing about the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.ports import AgentError

FAILURES = 5
"""In a row, until nobody asks."""
REST_SECONDS = 20.0


class RestingError(AgentError):
    """The host is not asked at the moment."""


class Circuit:
    """The state of one host.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._rests_until = 0.0
        self._is_trying = False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around one request: an `AgentError` out of it is a failure of the host.

        Raises:
            RestingError: It should not be made now.
        """
        is_trial = self._failures >= FAILURES
        if is_trial:
            if self._is_trying or self._clock() < self._rests_until:
                raise RestingError("the host rests")
            self._is_trying = True
        try:
            yield
        except AgentError:
            self._failures += 1
            self._rests_until = self._clock() + REST_SECONDS
            raise
        else:
            self._failures = 0
        finally:
            if is_trial:
                self._is_trying = False
