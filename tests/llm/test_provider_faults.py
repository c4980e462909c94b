"""Each planted fault of a provider: the line that `talk` shows and the log has."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from structlog.testing import capture_logs

from agent.call.events import ReplyFault
from agent.errors import REMEDIES, ModelError
from agent.llm.bedrock import BedrockClient, BedrockModel
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.llm.openai import OpenAIClient, OpenAIModel
from agent.llm.provider_faults import network_error
from agent.ports import LanguageModel
from agent.usecases import ModelSettings
from tests.emulators.bedrock import BedrockEmulator
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import Reply, fail, say
from tests.llm import contract
from tests.llm.accounts import set_account
from tests.llm.bodies import raw_server

ASKED = contract.request(contract.SMALL_TALK)
HELLO = say("Hello.")
SAID = "my PIN is 1234"
NOT_HERE = (
    "there are no chat completions at this address."
    " Correct OPENAI_BASE_URL: for most servers it ends with /v1."
)
QUOTA = REMEDIES[ReplyFault.THROTTLED]
CATALOG = "Bedrock console, Model catalog"
SIGN_IN = (
    "Sign in (aws sso login, AWS_PROFILE), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)


async def shown(model: LanguageModel) -> str:
    """The line of `talk` behind `the model failed:`, which the log must have, too."""
    candidate = Candidate(model, ModelCircuit(model.name))
    with capture_logs() as logged, pytest.raises(ModelError) as caught:
        await contract.pieces_of(FailoverModel([candidate], HedgeBudget(0.0)), ASKED)
    line = str(caught.value)
    failed = [each for each in logged if each["event"] == "llm.request_failed"]
    assert all((each["reason"], each["log_level"]) == (line, "warning") for each in failed)
    assert all("1234" not in str({**each, "pii_detail": ""}) for each in logged)
    assert "1234" not in line
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (fail("invalid_api_key", SAID),
         "HTTP 401, invalid_api_key: the key is not accepted."
         " Correct OPENAI_API_KEY; it must be a key of the server at OPENAI_BASE_URL."),
        (fail("permission_denied", SAID),
         "HTTP 403, permission_denied: the key may not use this model."
         " Allow the model for the project of OPENAI_API_KEY, or set another MODEL_IDENTIFIER."),
        (fail("model_not_found", SAID),
         "HTTP 404, model_not_found: the server has no such model. Check the name after openai:"
         " in MODEL_IDENTIFIER, or llmModel of the use case."),
        (fail("insufficient_quota", SAID),
         "HTTP 429, insufficient_quota: the account has no credit left."
         " Add credit at the provider, or set FALLBACK_MODEL_IDENTIFIERS."),
        (fail("rate_limit_exceeded", SAID),
         f"HTTP 429, rate_limit_exceeded: too many requests or tokens. {QUOTA}"),
        (fail("rate_limit_exceeded", SAID, in_stream=True),
         f"in the stream, rate_limit_exceeded: too many requests or tokens. {QUOTA}"),
        (fail("invalid_request_error", f"{SAID}: llama3 does not support tools"),
         "HTTP 400, invalid_request_error: the model cannot call tools or chat."
         " Set a MODEL_IDENTIFIER that can."),
        (fail("context_length_exceeded", SAID),
         f"HTTP 400, context_length_exceeded. {REMEDIES[ReplyFault.TOO_LONG]}"),
        (fail("server_error", SAID),
         f"HTTP 500, server_error. {REMEDIES[ReplyFault.UNAVAILABLE]}"),
        (say("Well, ") + fail("server_error", SAID),
         f"in the stream, server_error. {REMEDIES[ReplyFault.UNAVAILABLE]}"),
    ],
)  # fmt: skip
async def test_chat_completions(reply: Reply, line: str) -> None:
    async with (
        OpenAIEmulator(reply) as server,
        OpenAIClient.open(base_url=server.base_url, api_key="key") as client,
    ):
        place = server.url.removeprefix("http://")

        assert await shown(OpenAIModel("openai:small", client)) == f"openai at {place}: {line}"


@pytest.mark.parametrize(
    ("status", "kind", "body", "line"),
    [
        (200, "text/html; charset=utf-8", "<html>Welcome", f"an HTML page: {NOT_HERE}"),
        (404, "text/html", "<html>no such model", f"HTTP 404, no code: {NOT_HERE}"),
        (404, "text/plain", "404 page not found", f"HTTP 404, no code: {NOT_HERE}"),
        (405, "text/html", "<html>Not allowed", f"HTTP 405, no code: {NOT_HERE}"),
        (404, "application/json", '{"error": {"message": "model \\"a\\" not found"}}',
         "HTTP 404, no code: the server has no such model. Check the name after openai:"
         " in MODEL_IDENTIFIER, or llmModel of the use case."),
        (401, "application/json", "{}", "HTTP 401, no code: the key is not accepted."
         " Set OPENAI_API_KEY."),
    ],
)  # fmt: skip
async def test_wrong_address_of_chat_completions(
    status: int, kind: str, body: str, line: str
) -> None:
    """Also a server that wants a key and got none."""
    async with raw_server() as (server, model):
        server.status, server.headers, server.body = status, {"Content-Type": kind}, body.encode()

        _, _, told = (await shown(model)).partition(": ")
        assert told == line


@asynccontextmanager
async def opened(
    patch: pytest.MonkeyPatch, reply: Reply, endpoint: str = "", more: Mapping[str, str] = {}
) -> AsyncIterator[BedrockModel]:
    """A model of an account that does not exist; `more` are variables, empty = not set."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(BedrockEmulator(reply))
        set_account(patch, endpoint or server.url)
        for name, value in more.items():
            patch.setenv(name, value) if value else patch.delenv(name)
        yield BedrockModel(
            "nova", ModelSettings(), await stack.enter_async_context(BedrockClient.open())
        )


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (fail("ExpiredTokenException", SAID),
         "HTTP 403, ExpiredTokenException: the AWS credentials have expired."
         " Sign in again (aws sso login, AWS_PROFILE), or renew AWS_SESSION_TOKEN."),
        (fail("UnrecognizedClientException", SAID),
         "HTTP 403, UnrecognizedClientException: AWS does not know these credentials here. Check"
         " AWS_PROFILE or AWS_ACCESS_KEY_ID, and that the account has enabled AWS_REGION."),
        (fail("InvalidSignatureException", SAID),
         "HTTP 403, InvalidSignatureException: the signature is not accepted."
         " Check AWS_SECRET_ACCESS_KEY, and the clock of this machine."),
        (fail("AccessDeniedException", "You don't have access to the model with the ID 1234."),
         "HTTP 403, AccessDeniedException: the account has no access to the model."
         f" Open the model once in AWS_REGION: {CATALOG}, the model, playground."),
        (fail("AccessDeniedException", "User: 1234 is not authorized to perform: bedrock:Invoke"),
         "HTTP 403, AccessDeniedException: these credentials may not call the model. Allow"
         " bedrock:InvokeModelWithResponseStream for AWS_PROFILE or the role of the task."),
        (fail("ResourceNotFoundException", "Model use case details have not been submitted"),
         "HTTP 404, ResourceNotFoundException: Anthropic's form has not been sent."
         f" Fill it in: {CATALOG}, the model."),
        (fail("ResourceNotFoundException", SAID),
         "HTTP 404, ResourceNotFoundException: there is no such model in this region."
         f" Check MODEL_IDENTIFIER and AWS_REGION: {CATALOG}."),
        (fail("ValidationException", "The provided model identifier is invalid."),
         "HTTP 400, ValidationException: there is no such model in this region."
         f" Check MODEL_IDENTIFIER and AWS_REGION: {CATALOG}."),
        (fail("ValidationException", "with on-demand throughput isn't supported"),
         "HTTP 400, ValidationException: the model needs an inference profile."
         " Put us., eu. or another prefix of AWS_REGION before the name in MODEL_IDENTIFIER."),
        (fail("ThrottlingException", "Too many tokens per day"),
         "HTTP 429, ThrottlingException: the daily quota is used up."
         " Ask for more: Service Quotas console, Bedrock."),
        (fail("ThrottlingException", SAID), f"HTTP 429, ThrottlingException. {QUOTA}"),
        (fail("ThrottlingException", SAID, in_stream=True),
         f"in the stream, throttlingException. {QUOTA}"),
    ],
)  # fmt: skip
async def test_bedrock(monkeypatch: pytest.MonkeyPatch, reply: Reply, line: str) -> None:
    async with opened(monkeypatch, reply) as model:
        assert await shown(model) == f"bedrock in eu-central-1: {line}"


async def test_bedrock_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    async with opened(monkeypatch, HELLO, more=none) as model:
        line = await shown(model)

    assert line == f"bedrock in eu-central-1: no AWS credentials were found. {SIGN_IN}"


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("AWS_REGION", "", "AWS configuration: You must specify a region. Set AWS_REGION."),
        ("AWS_PROFILE", "nobody",
         "AWS configuration: The config profile (nobody) could not be found."
         " Check AWS_PROFILE, AWS_REGION and the files of the AWS configuration."),
    ],
)  # fmt: skip
async def test_bedrock_that_is_not_set_up(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str
) -> None:
    with pytest.raises(ModelError) as caught:
        async with opened(monkeypatch, HELLO, more={variable: value}):
            pass

    assert str(caught.value) == line


async def test_closed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        async with OpenAIClient.open(base_url=f"http://user:1234@{place}/v1") as client:
            line = await shown(OpenAIModel("openai:small", client))
        async with opened(monkeypatch, HELLO, f"http://{place}") as model:
            of_bedrock = await shown(model)

    assert line == (
        f"openai at {place}: cannot connect: connection refused."
        " Check that the server runs, and OPENAI_BASE_URL."
    )
    assert of_bedrock == (
        "bedrock in eu-central-1: cannot connect: connection refused."
        " Check AWS_REGION, and the way from this machine to Bedrock."
    )


async def test_server_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with OpenAIEmulator() as server:
        url = server.url.replace("http:", "https:")
        async with OpenAIClient.open(base_url=f"{url}/v1") as client:
            line = await shown(OpenAIModel("openai:small", client))
        async with opened(monkeypatch, HELLO, url) as model:
            of_bedrock = await shown(model)

    for each in (line, of_bedrock):
        assert "cannot connect: no TLS (WRONG_VERSION_NUMBER). Check" in each


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "fault", "line"),
    [
        (socket.gaierror(-2, "Name or service not known"), ReplyFault.UNAVAILABLE,
         "cannot connect: DNS does not know the host name. Do it."),
        (TimeoutError(), ReplyFault.TIMEOUT, "cannot connect: no answer in time. Do it."),
        (certificate_error(), ReplyFault.UNAVAILABLE,
         "cannot connect: the TLS certificate is not valid (self-signed certificate)."
         " Correct the host name or the certificate, or set CA_FILE."),
    ],
)  # fmt: skip
def test_cause_of_a_connection_that_does_not_open(
    error: OSError, fault: ReplyFault, line: str
) -> None:
    """Those that loopback does not have."""
    outer = RuntimeError(SAID)
    outer.__cause__ = error

    found = network_error(outer, has_connected=False, remedy="Do it.", authorities="CA_FILE")

    assert (found.fault, str(found)) == (fault, line)


async def test_first_choice_is_told_when_every_model_fails() -> None:
    async with (
        OpenAIEmulator(fail("invalid_api_key", SAID)) as first,
        OpenAIEmulator(fail("server_error", SAID)) as second,
        OpenAIClient.open(base_url=first.base_url) as one,
        OpenAIClient.open(base_url=second.base_url) as other,
    ):
        models = [OpenAIModel("openai:first", one), OpenAIModel("openai:second", other)]
        candidates = [Candidate(model, ModelCircuit(model.name)) for model in models]
        with pytest.raises(ModelError, match="invalid_api_key") as caught:
            await contract.pieces_of(FailoverModel(candidates, HedgeBudget(0.0)), ASKED)

    assert caught.value.fault is ReplyFault.DENIED
