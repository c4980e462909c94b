"""The API of Elastic Load Balancing and the metadata endpoint of ECS, as a task sees them.

    GET  /metadata    the container's addresses: 127.0.0.1
    POST /            `DescribeTargetHealth`, with the states that are asked for at each request

Forms of requests and answers are those of the SDK's model, which
`tests/capacity/test_target_health.py` holds against both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from aiohttp import web

from tests.listening import listening

ARN = "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/voice/73e2d6bc24d8a067"
NAMESPACE = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
States = dict[tuple[str, int], str]
"""By address and port."""

_MEMBER = """
<member><HealthCheckPort>{port}</HealthCheckPort><TargetHealth><State>{state}</State></TargetHealth>
<Target><Port>{port}</Port><AvailabilityZone>us-east-1a</AvailabilityZone><Id>{address}</Id></Target></member>"""
_ANSWER = """<DescribeTargetHealthResponse xmlns="{namespace}"><DescribeTargetHealthResult>
<TargetHealthDescriptions>{members}</TargetHealthDescriptions></DescribeTargetHealthResult>
<ResponseMetadata><RequestId>c534f810</RequestId></ResponseMetadata></DescribeTargetHealthResponse>"""
_REFUSAL = """<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type><Code>{code}</Code>
<Message>Rate exceeded</Message></Error><RequestId>c534f810</RequestId></ErrorResponse>"""


@dataclass(slots=True)
class TargetGroup:
    """A target group; `read` gives its states now."""

    read: Callable[[], Awaitable[States]]
    url: str = ""
    refusals: list[tuple[int, str]] = field(default_factory=list)
    """Statuses and error codes of the next answers; the code may be a whole document."""
    asked: list[tuple[float, dict[str, str]]] = field(default_factory=list)
    """When, and the fields."""
    signed_for: set[str] = field(default_factory=set)
    """Region and service of the signatures."""

    @property
    def environment(self) -> dict[str, str]:
        """What ECS and the template set in a task."""
        return {
            "TARGET_GROUP_ARN": ARN,
            "ECS_CONTAINER_METADATA_URI_V4": f"{self.url}/metadata",
            "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2": self.url,
        }

    async def describe(self, request: web.Request) -> web.Response:
        now = round(asyncio.get_running_loop().time(), 3)
        self.asked.append((now, {name: str(it) for name, it in (await request.post()).items()}))
        scope = request.headers["Authorization"].split("/")
        self.signed_for.add(f"{scope[2]} {scope[3]}")
        if self.refusals:
            status, code = self.refusals.pop(0)
            text = code if "<" in code else _REFUSAL.format(namespace=NAMESPACE, code=code)
            return web.Response(status=status, text=text, content_type="text/xml")
        members = "".join(
            _MEMBER.format(address=escape(address), port=port, state=state)
            for (address, port), state in (await self.read()).items()
        )
        text = _ANSWER.format(namespace=NAMESPACE, members=members)
        return web.Response(text=text, content_type="text/xml")


async def _metadata(_: web.Request) -> web.Response:
    network = {"NetworkMode": "awsvpc", "IPv4Addresses": ["127.0.0.1"], "MACAddress": "0e:9e"}
    return web.json_response({"DockerId": "cd189a", "Name": "agent", "Networks": [network]})


@asynccontextmanager
async def target_group(read: Callable[[], Awaitable[States]]) -> AsyncIterator[TargetGroup]:
    """Serve both while in this context."""
    group = TargetGroup(read)
    application = web.Application()
    application.router.add_get("/metadata", _metadata)
    application.router.add_post("/", group.describe)
    async with listening(application) as group.url:
        yield group
