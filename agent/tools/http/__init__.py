"""HTTP tools: a use case declares a request, and no code is written.

| the tool | a request is sent again, once, when | an unknown outcome is reported as |
|---|---|---|
| has no effect | it was not answered, or with 502, 503, 504 | an error |
| can be repeated (PUT, DELETE, or with a key) | the same | in doubt: the same call completes it |
| otherwise | the connection failed | unknown: it must not be tried again |

An effect is distinguished by its filled request. Its plan is that request without its headers, so
that no secret is stored, and with the key by which the server recognises a repetition. Sensitive
digits of the caller are filled in when it is sent, and are marked in the response. A status of
4xx means that nothing was done; 5xx, 408 and a redirect, which is not followed, that this is
unknown. After an unknown first attempt, a refusal of the second proves nothing.

The operator lists the hosts (`HTTP_TOOL_HOSTS`), the variables a header may hold, and the hosts
each may be sent to (`HTTP_TOOL_SECRETS`); a tool that needs anything else is not offered.
Rejected: allowing all variables with a prefix, which may be set for another purpose.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Any, Literal, NoReturn, Protocol

import msgspec
import structlog
from msgspec import Meta

from agent.call.messages import SideEffect
from agent.errors import AgentError, ToolError
from agent.tools.http.http_messages import (
    HttpResponse,
    UnreadableError,
    Values,
    facts_of,
    fill_body,
    fill_target,
    refusal_of,
    result_of,
)
from agent.tools.http.outbound_http import (
    HttpRequest,
    OutboundHttp,
    UnansweredError,
    UnreachableError,
)
from agent.tools.idempotency import Plan, Result
from agent.tools.tool import MAX_RESULT_CHARS, CallContext, Tool, struct_of, without_digits
from agent.usecases.host_allowlist import HostAllowlist, Secret
from agent.usecases.http_tool import (
    DIGITS,
    Argument,
    HttpTool,
    Parameter,
    UrlTemplate,
    filled_header,
    secrets_in,
)

__all__ = ["HttpSender", "HttpTools", "OutboundHttp", "fault_of"]

log = structlog.get_logger(__name__)

_MAX_KEPT_CHARS = 16_000
_SECRET_DIGITS = f"{{{DIGITS}}}"  # stands in a body until it is sent
_EFFECT_SECONDS = 8.0
_MARGIN_SECONDS = 1.0
_PAUSE_SECONDS = 0.1
_BUSY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
_KEPT_TOOLS = 256
_SENDABLE = re.compile(r"[\x21-\x7e]+")
_TYPES: Mapping[str, type[Argument]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
}

FAILURES = 5
"""Failed requests in a row, after which the circuit of a host opens."""
REST_SECONDS = 20.0


class CircuitOpenError(AgentError):
    """The host is not asked at the moment."""


class HostCircuit:
    """The state of one host."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._rests_until = 0.0
        self._is_trying = False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around one request: an `AgentError` out of it is a failure. Raises `CircuitOpenError`."""
        is_trial = self._failures >= FAILURES
        if is_trial and (self._is_trying or self._clock() < self._rests_until):
            raise CircuitOpenError("the host rests")
        self._is_trying |= is_trial
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


def fault_of(tool: HttpTool, hosts: HostAllowlist, secrets: Mapping[str, Secret]) -> str:
    """Why a declared tool cannot be used, `field: fault`; empty if it can."""
    url = tool.url
    if not hosts.lists(url.scheme, url.host, url.port):
        return f"url: {url.origin} is not in HTTP_TOOL_HOSTS"
    for name, value in tool.headers:
        for secret in secrets_in(value):
            if fault := _fault_of_secret(secrets.get(secret), url):
                return f"headers.{name}: {secret} {fault}"
    return ""


def _fault_of_secret(secret: Secret | None, url: UrlTemplate) -> str:
    if secret is None:
        return "is not in HTTP_TOOL_SECRETS"
    if not secret.may_go_to(url.scheme, url.host, url.port):
        return f"may not be sent to {url.origin} by HTTP_TOOL_SECRETS"
    if not secret.value:
        return "is not set"
    return "" if _SENDABLE.fullmatch(secret.value) else "holds characters no header may have"


class HttpSender(Protocol):
    """What `OutboundHttp` does."""

    @property
    def hosts(self) -> HostAllowlist: ...

    async def send(self, request: HttpRequest, seconds: float) -> HttpResponse: ...


class HttpTools:
    """The HTTP tools of a process; `secrets` are the variables that headers may hold."""

    def __init__(
        self,
        outbound: HttpSender,
        secrets: Mapping[str, Secret],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._outbound = outbound
        self._secrets = secrets
        self._clock = clock
        self._circuits: dict[tuple[str, int], HostCircuit] = {}
        self.tool = lru_cache(maxsize=_KEPT_TOOLS)(self._tool)

    def fault_of(self, tool: HttpTool) -> str:
        return fault_of(tool, self._outbound.hosts, self._secrets)

    async def look(self, tool: HttpTool, facts: Values) -> dict[str, object]:
        """Run a tool without parameters and side effect, outside of a call; raises `ToolError`."""
        plan: Plan = {"target": fill_target(tool.url, facts), "body": fill_body(tool, facts)}
        return await self._look(tool, "", plan)

    def _tool(self, tool: HttpTool) -> Tool:
        async def function(call: CallContext, given: msgspec.Struct) -> object:
            arguments: dict[str, Argument] = {
                name: value.strip() if isinstance(value, str) else value
                for name, value in msgspec.to_builtins(given).items()
            }
            values = {**arguments, **facts_of(call)}
            if is_secret and _SECRET_DIGITS in str(arguments):
                raise ToolError(f"The arguments of {tool.spec.name} cannot be sent.")
            if is_secret:
                values[DIGITS] = _SECRET_DIGITS
            return await self._run(tool, call, values)

        is_secret = _is_secret(tool)
        properties = [(each.name, _type(each), each.is_required) for each in tool.parameters]
        has_effect = tool.spec.side_effect is not SideEffect.NONE
        seconds = _EFFECT_SECONDS if has_effect else tool.timeout + _MARGIN_SECONDS
        return Tool(tool.spec, struct_of(tool.spec.name, properties), function, seconds)

    async def _run(self, tool: HttpTool, call: CallContext, values: Values) -> dict[str, object]:
        plan: Plan = {"target": fill_target(tool.url, values), "body": fill_body(tool, values)}
        if tool.spec.side_effect is SideEffect.NONE:
            return await self._look(tool, call.digits, plan)
        effect = f"http::{tool.spec.name}"
        content = [tool.method, tool.url.origin, plan["target"], plan["body"]]
        plan["key"] = call.idempotency.key(effect, content) if tool.has_key else ""
        return await call.idempotency.once(
            effect,
            content,
            plan,
            partial(self._perform, tool, call.digits),
            repeatable=tool.is_repeatable,
            beside=call.telling(tool.spec.name, tool.event),
        )

    async def _look(self, tool: HttpTool, digits: str, plan: Plan) -> dict[str, object]:
        try:
            return result_of(tool, await self._accepted(tool, digits, plan))
        except (UnansweredError, UnreadableError) as error:
            _refuse(tool, error)

    async def _perform(self, tool: HttpTool, digits: str, plan: Plan) -> Result:
        answer = await self._accepted(tool, digits, plan)
        try:
            result = result_of(tool, answer)
        except UnreadableError as error:
            return {"message": f"Done, but {error}."}
        text = msgspec.json.encode(result).decode()
        if len(text) > _MAX_KEPT_CHARS:
            return {"message": "Done.", "beginning": text[:MAX_RESULT_CHARS]}
        return result

    async def _accepted(self, tool: HttpTool, digits: str, plan: Plan) -> HttpResponse:
        try:
            answer = await self._send_with_retry(tool, self._request(tool, digits, plan))
        except (UnreachableError, CircuitOpenError) as error:
            _refuse(tool, error)
        if _is_secret(tool):
            body = without_digits(answer.body.decode("latin-1"), digits)
            answer = replace(answer, body=body.encode("latin-1"))
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise refusal_of(tool, answer)
        return answer

    async def _send_with_retry(self, tool: HttpTool, request: HttpRequest) -> HttpResponse:
        deadline = asyncio.get_running_loop().time() + tool.timeout
        doubt: UnansweredError | None = None
        try:
            return await self._send(tool, request, deadline)
        except UnreachableError:
            pass
        except UnansweredError as error:
            if not (error.may_retry and tool.is_repeatable):
                raise
            doubt = error
        await asyncio.sleep(_PAUSE_SECONDS)
        try:
            answer = await self._send(tool, request, deadline)
        except (UnreachableError, CircuitOpenError) as error:
            raise doubt or error from None
        has_effect = tool.spec.side_effect is not SideEffect.NONE
        if doubt and has_effect and answer.status >= HTTPStatus.BAD_REQUEST:
            raise doubt
        return answer

    async def _send(self, tool: HttpTool, request: HttpRequest, deadline: float) -> HttpResponse:
        circuit = self._circuits.setdefault((request.host, request.port), HostCircuit(self._clock))
        seconds = max(0.0, deadline - asyncio.get_running_loop().time())
        try:
            with circuit.asking():
                answer = await self._outbound.send(request, seconds)
                if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise _unanswered(answer)
            is_redirect = HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST
            if is_redirect or answer.status == HTTPStatus.REQUEST_TIMEOUT:
                raise _unanswered(answer)
        except (UnreachableError, UnansweredError, CircuitOpenError) as error:
            log.warning(
                "http_tool.failed", tool=tool.spec.name, host=request.host, reason=str(error)
            )
            raise
        return answer

    def _request(self, tool: HttpTool, digits: str, plan: Plan) -> HttpRequest:
        values = {name: secret.value for name, secret in self._secrets.items()}
        headers = {name: filled_header(value, values) for name, value in tool.headers}
        body, key = str(plan["body"]), str(plan.get("key", ""))
        if _is_secret(tool):
            body = body.replace(_SECRET_DIGITS, digits)
        if body:
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        url, target = tool.url, str(plan["target"])
        return HttpRequest(tool.method, url.scheme, url.host, url.port, target, headers, body)


def _is_secret(tool: HttpTool) -> bool:
    return tool.spec.collects is not None and tool.spec.collects.is_sensitive


def _unanswered(answer: HttpResponse) -> UnansweredError:
    reason = f"it answered with status {answer.status}"
    return UnansweredError(reason, may_retry=answer.status in _BUSY)


def _refuse(tool: HttpTool, error: Exception) -> NoReturn:
    raise ToolError(f"{tool.spec.name} cannot be used at the moment: {error}.") from error


def _type(parameter: Parameter) -> Any:
    """Agrees with the schema of the declaration."""
    kind: Any = Literal[parameter.choices] if parameter.choices else _TYPES[parameter.kind]
    lengths: dict[str, Any] = {
        "min_length": parameter.min_length,
        "max_length": parameter.max_length,
    }
    limits: dict[str, Any] = {"ge": parameter.minimum, "le": parameter.maximum}
    return Annotated[kind, Meta(description=parameter.description, **lengths, **limits)]
