"""Asks the load balancer whether the target of this task is being deregistered.

ECS deregisters the target of a task that is to go, waits the deregistration delay, and only then
sends SIGTERM, when the load balancer has cut the connections that were left. So the task has to
find out by itself: `DescribeTargetHealth` gives its target the state `draining`.

https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html

The limit of requests is shared by an account and region (10 a second go on for ever), so the
tasks of a service together send `REQUESTS_PER_SECOND`: the answer has all targets of the group,
and each task waits the longer the more there are, with jitter.

https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html

A request that fails changes nothing but the wait. The log has a line when the outcome changes.
Rejected: asking for one's own target only, which hides how many others ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from random import random
from typing import NamedTuple
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import aiohttp
import msgspec
import structlog

from agent.aws_requests import AWS_FAULTS, AwsRequests
from agent.http_client import ClientLimits

log = structlog.get_logger(__name__)

REQUESTS_PER_SECOND = 5.0
SHORTEST_SECONDS = 5.0
LONGEST_SECONDS = 75.0
"""With `DRAIN_SECONDS` still within a deregistration delay of 180 s."""
JITTER = 0.1
_ANSWER_SECONDS = 5.0
_OK = 200
_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
_DRAINING = "draining"
_MISSING = "missing"
"""Our own word: the group has no such target, as before ECS has registered it."""
_ERRORS = (*AWS_FAULTS, ET.ParseError)


class Target(NamedTuple):
    """A target of a group whose targets are IP addresses."""

    address: str
    port: int


class _Network(msgspec.Struct):
    addresses: list[str] = msgspec.field(name="IPv4Addresses", default_factory=list)


class _Container(msgspec.Struct):
    networks: list[_Network] = msgspec.field(name="Networks", default_factory=list)


class TargetHealthError(ValueError):
    """The API refused the request; the text is the code of its error, or the status."""


def read_states(document: bytes) -> dict[Target, str]:
    """The state of each target in an answer to `DescribeTargetHealth`.

    Raises `ElementTree.ParseError` or `ValueError` if it is none.
    """
    answer = ET.fromstring(document)  # noqa: S314 (of AWS)
    return {
        Target(each.findtext("{*}Target/{*}Id", ""), int(each.findtext("{*}Target/{*}Port", "0"))):
        each.findtext("{*}TargetHealth/{*}State", "")
        for each in answer.iterfind(".//{*}TargetHealthDescriptions/{*}member")
    }  # fmt: skip


def pause_seconds(targets: int, failures: int, chance: float) -> float:
    """How long to wait before the next request.

    Args:
        targets: Those of the group; as many tasks send requests.
        failures: Requests in a row without an answer; each doubles the wait.
        chance: 0 to 1, for the jitter.
    """
    seconds = max(SHORTEST_SECONDS, targets / REQUESTS_PER_SECOND) * 2.0 ** min(failures, 10)
    return min(seconds, LONGEST_SECONDS) * (1 + JITTER * (2 * chance - 1))


@dataclass(slots=True)
class TargetHealth:
    """The state of the target that has an address of this task and this port."""

    target_group: str
    metadata_uri: str
    port: int
    _addresses: frozenset[str] = frozenset()
    _outcome: str = ""

    async def is_draining(self) -> bool:
        """Ask until the target is draining. False at once if AWS is not configured."""
        limits = ClientLimits(1, _ANSWER_SECONDS, _ANSWER_SECONDS)
        region = self.target_group.split(":")[3]
        opening = AwsRequests.open("elbv2", region=region, limits=limits, headers=_FORM)
        try:
            async with opening as requests:
                await self._until_draining(requests)
        except AWS_FAULTS as error:
            self._note_failure(error)
            return False
        return True

    async def _until_draining(self, requests: AwsRequests) -> None:
        targets = failures = 0
        await asyncio.sleep(SHORTEST_SECONDS * random())  # noqa: S311 no secret
        while True:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    states = await self._states(requests)
            except _ERRORS as error:
                failures += 1
                self._note_failure(error)
            else:
                targets, failures = len(states), 0
                if self._note_state(states) == _DRAINING:
                    return
            await asyncio.sleep(pause_seconds(targets, failures, random()))  # noqa: S311 likewise

    async def _states(self, requests: AwsRequests) -> dict[Target, str]:
        if not self._addresses:
            self._addresses = await _own_addresses(self.metadata_uri)
        group = {"TargetGroupArn": self.target_group}
        fields = {"Action": "DescribeTargetHealth", "Version": "2015-12-01", **group}
        answer = await requests.post("/", urlencode(fields).encode())
        try:
            document = await answer.read()
        finally:
            answer.release()
        if answer.status != _OK:
            raise TargetHealthError(_error_code(document) or f"status {answer.status}")
        return read_states(document)

    def _note_state(self, states: Mapping[Target, str]) -> str:
        ours = [states.get(Target(each, self.port), "") for each in self._addresses]
        state = next(filter(None, ours), _MISSING)
        if state != self._outcome:
            log.info("target.state_changed", state=state)
        self._outcome = state
        return state

    def _note_failure(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, TargetHealthError) else type(error).__name__
        if reason != self._outcome:
            log.warning("target.state_unknown", reason=reason)
        self._outcome = reason


async def _own_addresses(metadata_uri: str) -> frozenset[str]:
    """The addresses of this container in the network of its task.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate-response.html
    """
    async with aiohttp.ClientSession() as http, http.get(metadata_uri) as response:
        container = msgspec.json.decode(await response.read(), type=_Container)
    return frozenset(each for network in container.networks for each in network.addresses)


def _error_code(document: bytes) -> str:
    try:
        return ET.fromstring(document).findtext(".//{*}Code", "")  # noqa: S314 (of AWS)
    except ET.ParseError:  # a page of a proxy
        return ""
