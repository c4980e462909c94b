"""Signatures are those of the SDK; credentials are renewed, and a wrong clock is corrected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import NamedTuple

import pytest
from aiohttp import web
from botocore import auth  # type: ignore[import-untyped] # ships no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped] # likewise
from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped] # likewise
from botocore.exceptions import NoCredentialsError  # type: ignore[import-untyped] # likewise
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.aws_requests import AwsCredentials, AwsRequests, RequestSigner
from agent.http_client import ClientLimits
from tests.listening import listening
from tests.llm.accounts import set_account
from tests.virtual import virtually

WORD = st.text("abcXYZ019/+=-_.", min_size=1, max_size=40)
PATH = st.text("abcXYZ019-_~%:+ é", min_size=1, max_size=30).map(lambda text: f"/model/{text}/x")
CREDENTIALS = st.builds(ReadOnlyCredentials, WORD, WORD, st.none() | WORD, st.none())
NOW = st.integers(1_600_000_000, 4_000_000_000).map(lambda it: datetime.fromtimestamp(it, UTC))
JSON = {"Content-Type": "application/x-amz-json-1.0"}


class Request(NamedTuple):
    """What is signed."""

    credentials: ReadOnlyCredentials
    path: str
    target: str
    body: bytes
    now: datetime


def of_the_sdk(service: str, region: str, endpoint: str, asked: Request) -> dict[str, str]:
    """The headers that botocore signs a request with, by lower-case name."""
    headers = dict(JSON)
    if asked.target:
        headers["X-Amz-Target"] = asked.target
    request = AWSRequest("POST", endpoint + asked.path, headers, asked.body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda: asked.now)
        auth.SigV4Auth(asked.credentials, service, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


EXAMPLE = ReadOnlyCredentials("AKID", "secret", None, None)
DAY = datetime(2026, 3, 5, 23, 59, 59, tzinfo=UTC)


@given(
    st.sampled_from(["bedrock", "dynamodb"]),
    WORD,
    st.sampled_from(
        ["https://a.us-east-1.amazonaws.com", "http://localhost:8000", "http://[::1]:80/under/it"]
    ),
    st.lists(
        st.builds(Request, CREDENTIALS, st.just("/") | PATH, st.just("") | WORD, st.binary(), NOW),
        min_size=1,
        max_size=4,
    ),
)
@example(
    "dynamodb",
    "us-east-1",
    "http://localhost:8000",
    [
        Request(EXAMPLE, "/", "DynamoDB_20120810.GetItem", b"{}", DAY),
        Request(EXAMPLE, "/", "DynamoDB_20120810.GetItem", b"{}", DAY + timedelta(seconds=1)),
        Request(EXAMPLE, "/", "DynamoDB_20120810.PutItem", b"{}", DAY + timedelta(seconds=1)),
        Request(EXAMPLE._replace(token="t"), "/", "DynamoDB_20120810.GetItem", b"{}", DAY),
    ],
)
def test_signature_is_the_one_of_the_sdk(
    service: str, region: str, endpoint: str, asked: list[Request]
) -> None:
    """Also after others of the same signer: on another day, with other credentials."""
    signer = RequestSigner(service, region, endpoint, JSON)

    for each in asked:
        ours = signer.headers(
            each.credentials,
            each.body,
            path=each.path,
            target=each.target,
            now=each.now.timestamp(),
        )

        assert ours.pop("Host") == endpoint.split("/")[2].removesuffix(":80")
        by_name = {name.lower(): value for name, value in ours.items()}
        assert by_name == of_the_sdk(service, region, endpoint, each)


@asynccontextmanager
async def asking(clock: float) -> AsyncIterator[AwsRequests]:
    async with AwsRequests.open(
        "dynamodb",
        region="us-east-1",
        limits=ClientLimits(most=1, connect_seconds=1.0),
        headers=JSON,
        clock=lambda: clock,
    ) as requests:
        yield requests


async def status_of(requests: AwsRequests) -> int:
    answer = await requests.post("/", b"{}")
    answer.release()
    return answer.status


@pytest.mark.parametrize("off", [timedelta(hours=-5), timedelta(minutes=10)])
async def test_wrong_clock_is_corrected_and_the_request_repeated(
    monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    true = datetime(2026, 3, 5, 12, tzinfo=UTC)
    stamps: list[str] = []

    async def refuse_wrong_dates(request: web.Request) -> web.Response:
        stamps.append(request.headers["X-Amz-Date"])
        status = 200 if stamps[-1] == "20260305T120000Z" else 403
        return web.Response(status=status, headers={"Date": format_datetime(true, usegmt=True)})

    application = web.Application()
    application.router.add_post("/", refuse_wrong_dates)
    async with listening(application) as url:
        set_account(monkeypatch, url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        async with asking((true + off).timestamp()) as requests:
            with capture_logs() as logged:
                statuses = [await status_of(requests) for _ in range(2)]

    assert statuses == [200, 200]
    assert len(stamps) == 3
    assert [(each["event"], each["seconds"]) for each in logged] == [
        ("aws.clock_corrected", -off.total_seconds())
    ]


@pytest.mark.parametrize("date", ["", "no date", "Thu, 05 Mar 2026 12:03:00 GMT"])
async def test_refusal_by_a_server_with_our_time_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, date: str
) -> None:
    asked = 0

    async def refuse(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=403, headers={"Date": date})

    application = web.Application()
    application.router.add_post("/", refuse)
    async with listening(application) as url:
        set_account(monkeypatch, url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        async with asking(datetime(2026, 3, 5, 12, tzinfo=UTC).timestamp()) as requests:
            status = await status_of(requests)

    assert (status, asked) == (403, 1)


async def test_credentials_that_appear_later_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any a request is refused here."""
    set_account(monkeypatch, "")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with asking(0.0) as requests:
        with pytest.raises(NoCredentialsError):
            await requests.post("/", b"{}")

        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
        await requests.credentials.renew()

        assert requests.credentials.current == ("AKIDEXAMPLE", "example", None, None)


class Source:
    """A session of the SDK whose credentials change with each search; the second one fails."""

    def __init__(self) -> None:
        self.searches = 0

    async def get_credentials(self) -> Source:
        self.searches += 1
        if self.searches == 2:
            raise OSError("a secret path")
        return self

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return EXAMPLE._replace(access_key=f"AKID{self.searches}")


@virtually
async def test_credentials_are_renewed_once_a_minute_and_kept_while_that_fails() -> None:
    keys = []

    with capture_logs() as logged:
        async with AwsCredentials.open(Source()) as credentials:
            for _ in range(3):
                assert credentials.current is not None
                keys.append(credentials.current.access_key)
                await asyncio.sleep(60.5)

    assert keys == ["AKID1", "AKID1", "AKID3"]
    assert [(each["event"], each["cause"]) for each in logged] == [
        ("aws.credentials_renewal_failed", "OSError")
    ]
