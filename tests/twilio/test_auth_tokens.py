"""The auth tokens that are accepted while they are rotated, as events on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.ports import uncounted
from agent.simulator.virtual_time import run_virtually
from agent.twilio.auth_tokens import (
    EARLY_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    AuthTokenError,
    AuthTokens,
    SecretVersions,
    open_auth_tokens,
)
from agent.twilio.token_secret import SecretAddress
from tests.emulators.secrets_manager import (
    ARN,
    CURRENT,
    PENDING,
    PREVIOUS,
    SecretsManager,
    secrets_manager,
)
from tests.listening import listening
from tests.llm.accounts import set_account

LONGEST_REFRESH = REFRESH_SECONDS * 1.2


@dataclass(slots=True)
class Secret:
    """What is read, and when."""

    versions: dict[str, str]
    is_away: bool = False
    seconds: float = 0.0
    """How long a read takes."""
    reads: list[float] = field(default_factory=list)

    async def read(self) -> SecretVersions:
        self.reads.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        if self.is_away:
            raise AuthTokenError("away")
        return SecretVersions(dict(self.versions))


@asynccontextmanager
async def kept(secret: Secret) -> AsyncIterator[AuthTokens]:
    """The tokens of a service, which has read the secret once."""
    tokens = AuthTokens(SecretVersions(dict(secret.versions)).accepted, secret.read)
    keeping = asyncio.create_task(tokens.keep(uncounted), name="keep")
    await asyncio.sleep(0)  # virtual time
    try:
        yield tokens
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


def virtually(play: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await play()

    run_virtually(main())


async def accepts(tokens: AuthTokens, token: str) -> bool:
    return await tokens.accept(lambda known: known == token)


@pytest.mark.parametrize(
    ("versions", "accepted"),
    [
        ({CURRENT: "a"}, ("a",)),
        ({PREVIOUS: "z", PENDING: "b", CURRENT: "a"}, ("a", "b", "z")),
        ({PENDING: "a", CURRENT: "a", PREVIOUS: "z"}, ("a", "z")),
    ],
)
def test_current_token_is_the_first_and_each_is_there_once(
    versions: dict[str, str], accepted: tuple[str, ...]
) -> None:
    assert SecretVersions(versions).accepted == accepted


async def test_tokens_of_the_settings_are_all_accepted_and_never_read() -> None:
    tokens = AuthTokens(["a", "b"])

    await tokens.keep(uncounted)  # ends at once

    assert [await accepts(tokens, each) for each in ("a", "b", "c", "")] == [
        *(True, True, False, False)
    ]


def test_versions_are_read_again_every_few_minutes() -> None:
    secret = Secret({CURRENT: "a"})

    async def play() -> None:
        async with kept(secret) as tokens:
            secret.versions = {CURRENT: "a", PENDING: "b"}
            await asyncio.sleep(LONGEST_REFRESH + 1)
            reads = len(secret.reads)

            assert (await accepts(tokens, "b"), len(secret.reads)) == (True, reads)

    virtually(play)
    assert 0.8 * REFRESH_SECONDS <= secret.reads[0] <= LONGEST_REFRESH


def test_token_that_is_not_known_yet_is_found_by_an_early_read() -> None:
    """The first request that is signed with it waits for the read, and is not refused."""
    secret = Secret({CURRENT: "a"}, seconds=0.5)

    async def play() -> None:
        async with kept(secret) as tokens:
            secret.versions = {CURRENT: "b", PREVIOUS: "a"}

            assert await asyncio.gather(*(accepts(tokens, each) for each in "bbab")) == [True] * 4

    virtually(play)
    assert secret.reads == [0.0]


def test_forged_signatures_cause_a_read_in_ten_seconds_and_stay_refused() -> None:
    """100 requests in a second, for a minute."""
    secret = Secret({CURRENT: "a"}, seconds=0.1)

    async def play() -> None:
        async with kept(secret) as tokens, asyncio.TaskGroup() as requests:
            forged = []
            for _ in range(6000):
                forged.append(requests.create_task(accepts(tokens, "forged")))
                await asyncio.sleep(0.01)
            assert await accepts(tokens, "a")
        assert [task.result() for task in forged] == [False] * 6000

    virtually(play)
    assert [round(each) for each in secret.reads] == [0, 10, 20, 30, 40, 50]


def test_secret_that_cannot_be_read_changes_nothing_and_is_tried_again_soon() -> None:
    secret = Secret({CURRENT: "a", PREVIOUS: "z"}, is_away=True)
    counted = list[str]()

    def count(metric: str, amount: float = 1, /, **labels: str) -> None:
        counted.append(f"{metric} {amount} {labels['outcome']}")

    async def play() -> None:
        tokens = AuthTokens(("a", "z"), secret.read)
        keeping = asyncio.create_task(tokens.keep(count), name="keep")
        await asyncio.sleep(LONGEST_REFRESH + 3 * 1.2 * RETRY_SECONDS)
        assert tokens.known == ("a", "z")
        assert (await accepts(tokens, "z"), await accepts(tokens, "forged")) == (True, False)
        secret.is_away = False
        await asyncio.sleep(1.2 * RETRY_SECONDS)
        assert tokens.known == ("a", "z")
        keeping.cancel()
        await asyncio.wait([keeping])

    with capture_logs() as lines:
        virtually(play)
    assert len(secret.reads) >= 5
    assert set(counted[:-1]) == {"agent_auth_token_reads_total 1 failed"}
    assert counted[-1] == "agent_auth_token_reads_total 1 read"
    assert lines[0] == {"event": "auth_token.read_failed", "fault": "away", "log_level": "error"}


def test_version_whose_label_was_taken_away_is_forgotten() -> None:
    """After a token has leaked, the previous one must not be accepted."""
    secret = Secret({CURRENT: "b", PREVIOUS: "a"})

    async def play() -> None:
        async with kept(secret) as tokens:
            del secret.versions[PREVIOUS]
            assert await accepts(tokens, "a")
            await asyncio.sleep(LONGEST_REFRESH + 1)
            assert not await accepts(tokens, "a")

    virtually(play)


def test_who_waits_for_a_read_goes_on_when_the_service_ends() -> None:
    secret = Secret({CURRENT: "a"}, seconds=3600)

    async def play() -> None:
        async with kept(secret) as tokens:
            waiting = asyncio.create_task(accepts(tokens, "forged"))
            await asyncio.sleep(1)
            assert not waiting.done()
        assert await waiting is False

    virtually(play)


@dataclass(slots=True)
class Rotation:
    """What an operator, Twilio and a forger may do; each method is a step."""

    secret: Secret
    tokens: AuthTokens
    used: str = "t0"
    """What Twilio signs with."""
    made: int = 0
    readable_since: float = 0.0

    async def put(self) -> None:
        versions = self.secret.versions
        if versions[CURRENT] == self.used and PENDING not in versions:
            self.made += 1
            versions[PENDING] = f"t{self.made}"
            self.readable_since = asyncio.get_running_loop().time()

    async def promote(self) -> None:
        """Not before the service had the time to read the new token."""
        newest = self.secret.versions.get(PENDING) or self.secret.versions[CURRENT]
        seconds = asyncio.get_running_loop().time() - self.readable_since
        if not self.secret.is_away and (seconds > LONGEST_REFRESH or newest in self.tokens.known):
            self.used = newest

    async def make_current(self) -> None:
        versions = self.secret.versions
        if not self.secret.is_away and versions.get(PENDING) in self.tokens.known:
            versions[PREVIOUS] = versions[CURRENT]
            versions[CURRENT] = versions.pop(PENDING)

    async def forget(self) -> None:
        if self.secret.versions.get(PREVIOUS) != self.used:
            self.secret.versions.pop(PREVIOUS, None)

    async def forge(self) -> None:
        assert not await accepts(self.tokens, "forged")

    async def go_away(self) -> None:
        self.secret.is_away = True

    async def come_back(self) -> None:
        self.secret.is_away = False
        self.readable_since = asyncio.get_running_loop().time()


STEPS = st.sampled_from(
    [
        *(Rotation.put, Rotation.promote, Rotation.make_current, Rotation.forget),
        *(Rotation.forge, Rotation.go_away, Rotation.come_back),
    ]
)
PAUSES = st.sampled_from([0.0, 1.0, 20.0, 100.0, 400.0])


@given(st.lists(st.tuples(STEPS, PAUSES), max_size=40))
def test_token_in_use_is_accepted_in_any_order_of_a_rotation(
    steps: list[tuple[Callable[[Rotation], Awaitable[None]], float]],
) -> None:
    """Labels may move before or after the promotion, forged requests may come at any time.

    The secret may also be away. What Twilio signs with is accepted, and early reads are bounded.
    """
    secret = Secret({CURRENT: "t0"})

    async def play() -> None:
        async with kept(secret) as tokens:
            rotation = Rotation(secret, tokens)
            for step, pause in steps:
                await step(rotation)
                assert await accepts(tokens, rotation.used)
                await asyncio.sleep(pause)
                assert await accepts(tokens, rotation.used)

    virtually(play)
    spans = zip(secret.reads, secret.reads[2:], strict=False)
    assert all(later - earlier >= EARLY_SECONDS for earlier, later in spans)


@pytest.mark.parametrize(
    ("text", "address", "secret", "token"),
    [
        (ARN, (ARN, "us-east-1", ""), " a\n", "a"),
        (f"{ARN}:token::", (ARN, "us-east-1", "token"), '{"token": "a", "other": "b"}', "a"),
        (f"{ARN}:token::", (ARN, "us-east-1", "token"), '{"other": "b"}', ""),
        (f"{ARN}:token::", (ARN, "us-east-1", "token"), '{"token": {"a": 1}}', ""),
        (f"{ARN}:token::", (ARN, "us-east-1", "token"), "a", ""),
        (f"{ARN}:token::", (ARN, "us-east-1", "token"), '["token"]', ""),
    ],
)
def test_token_is_the_text_of_the_secret_or_a_key_of_it(
    text: str, address: tuple[str, str, str], secret: str, token: str
) -> None:
    read = SecretAddress.read(text)

    assert (tuple(read), read.token_in(secret)) == (address, token)


@pytest.fixture
async def manager(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SecretsManager]:
    async with secrets_manager(AWSCURRENT="a", AWSPREVIOUS="z") as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("agent.twilio.token_secret._PAUSE_SECONDS", 0.0)  # no second of waiting
        yield running


async def test_secret_is_read_in_the_order_in_which_a_token_moves(manager: SecretsManager) -> None:
    async with open_auth_tokens([], ARN) as tokens:
        assert tokens.known == ("a", "z")

    assert manager.reads == [PENDING, CURRENT, PREVIOUS]


FAULTS: dict[str, tuple[str, str]] = {
    "AccessDeniedException": (
        ARN, "AWSPENDING: no permission for secretsmanager:GetSecretValue, or for kms:Decrypt with"
        " its key"),
    "DecryptionFailure": (ARN, "AWSPENDING: its key cannot be used; kms:Decrypt is needed"),
    "ThrottlingException": (ARN, "AWSPENDING: ThrottlingException, status 400"),
    "": (f"{ARN}x", "AWSCURRENT: there is no such secret, or it has no value"),
}  # fmt: skip


@pytest.mark.parametrize("refusal", FAULTS)
async def test_secret_that_cannot_be_read_at_the_start_is_one_line(
    manager: SecretsManager, refusal: str
) -> None:
    arn, fault = FAULTS[refusal]
    manager.refusal = refusal

    with pytest.raises(AuthTokenError) as caught:
        await open_auth_tokens([], arn).__aenter__()

    assert str(caught.value) == f"TWILIO_AUTH_TOKEN_SECRET_ARN: {arn}: {fault}"
    assert manager.reads.count(PENDING) == 3


async def test_secret_without_a_token_stops_the_start(manager: SecretsManager) -> None:
    """An empty token would be a key that all know."""
    manager.versions[CURRENT] = " \n"

    with pytest.raises(AuthTokenError, match=r"it has no token$"):
        await open_auth_tokens([], ARN).__aenter__()
    with pytest.raises(AuthTokenError, match=r"it has no token under the key t$"):
        await open_auth_tokens([], f"{ARN}:t::").__aenter__()


async def test_secret_away_at_the_start_is_tried_again(manager: SecretsManager) -> None:
    manager.is_away = True

    with pytest.raises(AuthTokenError, match="it cannot be reached: "):
        await open_auth_tokens([], ARN).__aenter__()

    assert manager.reads.count(PENDING) == 3


async def test_without_credentials_the_secret_is_named(
    manager: SecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(AuthTokenError, match="NoCredentialsError"):
        await open_auth_tokens([], ARN).__aenter__()

    assert manager.reads == []


async def test_page_of_a_proxy_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(status=403, text="<html>")

    application = web.Application()
    application.router.add_post("/", page)
    monkeypatch.setattr("agent.twilio.token_secret._PAUSE_SECONDS", 0.0)  # no second of waiting
    async with listening(application) as url:
        set_account(monkeypatch, url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        with pytest.raises(AuthTokenError, match="not of Secrets Manager: status 403"):
            async with open_auth_tokens((), ARN):
                pass


async def test_wrong_configuration_of_aws_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(AuthTokenError, match="AWS configuration: The config profile"):
        async with open_auth_tokens((), ARN):
            pass
