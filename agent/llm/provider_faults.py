"""What a fault of a provider means, and what an operator can do: texts that are safe for logs.

Texts of providers may quote the caller: they are matched and not repeated.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable, Iterator

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece
from agent.errors import ModelError, provider_kind

_LONGEST = 4_000  # characters of a text that are read
_CATALOG = "Bedrock console, Model catalog"
_NO_CHAT = (
    "there are no chat completions at this address",
    "Correct OPENAI_BASE_URL: for most servers it ends with /v1.",
)
HTML_PAGE = f"an HTML page: {_NO_CHAT[0]}", _NO_CHAT[1]
Rows = tuple[tuple[str, str, str], ...]
"""(A pattern of status, codes and message in lower case, the cause, the remedy); the first counts.

An empty remedy is that of the fault.
"""

CHAT_COMPLETIONS: Rows = (
    ("insufficient_quota", "the account has no credit left",
     "Add credit at the provider, or set FALLBACK_MODEL_IDENTIFIERS."),
    ("invalid_api_key|^http 401", "the key is not accepted",
     "Correct OPENAI_API_KEY; it must be a key of the server at OPENAI_BASE_URL."),
    ("^http 403|permission_denied", "the key may not use this model",
     "Allow the model for the project of OPENAI_API_KEY, or set another MODEL_IDENTIFIER."),
    ("enable-auto-tool-choice", "the server has tool calls switched off",
     "Start vLLM with --enable-auto-tool-choice and --tool-call-parser."),
    ("requires --jinja", "the server has tool calls switched off", "Start llama.cpp with --jinja."),
    ("support tools|not a chat model", "the model cannot call tools or chat",
     "Set a MODEL_IDENTIFIER that can."),
    ("model_not_found|^http 404 (?!.*<html).*model", "the server has no such model",
     "Check the name after openai: in MODEL_IDENTIFIER, or llmModel of the use case."),
    ("^http (3..|404|405)", *_NO_CHAT),
    ("^http 503.*loading", "the server is loading the model", "Raise MODEL_LOAD_SECONDS."),
    ("rate_limit|^http 429", "too many requests or tokens", ""),
)  # fmt: skip
BEDROCK: Rows = (
    ("expiredtoken|request is expired", "the AWS credentials have expired",
     "Sign in again (aws sso login, AWS_PROFILE), or renew AWS_SESSION_TOKEN."),
    ("unrecognizedclient|invalidclienttokenid", "AWS does not know these credentials here",
     "Check AWS_PROFILE or AWS_ACCESS_KEY_ID, and that the account has enabled AWS_REGION."),
    ("valid region", "the request was signed for another region",
     "AWS_REGION must be the region of AWS_ENDPOINT_URL_BEDROCK_RUNTIME."),
    ("invalidsignature|incompletesignature", "the signature is not accepted",
     "Check AWS_SECRET_ACCESS_KEY, and the clock of this machine."),
    ("missingauthenticationtoken", "the request had no credentials", "Set AWS_PROFILE."),
    ("use case details", "Anthropic's form has not been sent",
     f"Fill it in: {_CATALOG}, the model."),
    ("marketplace|payment", "the account cannot subscribe to the model",
     f"Open it once as an administrator ({_CATALOG}); check the payment method."),
    ("not authorized to perform", "these credentials may not call the model",
     "Allow bedrock:InvokeModelWithResponseStream for AWS_PROFILE or the role of the task."),
    ("accessdenied|operation not allowed", "the account has no access to the model",
     f"Open the model once in AWS_REGION: {_CATALOG}, the model, playground."),
    ("on-demand throughput", "the model needs an inference profile",
     "Put us., eu. or another prefix of AWS_REGION before the name in MODEL_IDENTIFIER."),
    ("end of its life|legacy", "the model is no longer offered", "Set another MODEL_IDENTIFIER."),
    ("unknownoperation", "this is no endpoint of Bedrock",
     "Correct AWS_ENDPOINT_URL_BEDROCK_RUNTIME."),
    ("model identifier is invalid|resolve the foundation model|resourcenotfound",
     "there is no such model in this region",
     f"Check MODEL_IDENTIFIER and AWS_REGION: {_CATALOG}."),
    ("per day", "the daily quota is used up", "Ask for more: Service Quotas console, Bedrock."),
)  # fmt: skip


def together(pieces: Iterator[ReplyPiece]) -> Iterator[list[ReplyPiece]]:
    """All pieces at once, if there are any; those before an error before it is raised."""
    batch: list[ReplyPiece] = []
    try:
        batch.extend(pieces)
    finally:
        if batch:
            yield batch


def explained(rows: Rows, status: int, codes: Iterable[object], message: str) -> tuple[str, str]:
    """(Cause, remedy) of an error as a provider reports it; the remedy may be empty.

    Args:
        rows: What is known of the provider.
        status: Of HTTP; 0 = the error came in the stream.
        codes: The provider's names of the error; the first that is not empty is shown.
        message: The provider's text; it is not repeated.
    """
    place = f"HTTP {status}" if status else "in the stream"
    kind = next(filter(None, map(provider_kind, codes)), "no code")
    text = " ".join(f"{place} {kind} {message}".lower().split())[:_LONGEST]
    found = (row for row in rows if re.search(row[0], text))
    _, cause, remedy = next(found, ("", "", ""))
    return ": ".join(filter(None, (f"{place}, {kind}", cause))), remedy


def network_error(
    error: BaseException, *, has_connected: bool, remedy: str, authorities: str
) -> ModelError:
    """The fault of a connection.

    Args:
        error: As the library raised it.
        has_connected: Whether the connection was open.
        remedy: What an operator can do.
        authorities: The variable with the file of certificate authorities.
    """
    fault = ReplyFault.UNAVAILABLE
    what = "the connection broke" if has_connected else "cannot connect"
    chain = list(_chain(error))
    why = type(chain[-1]).__name__
    for each in chain:
        match each:
            case TimeoutError():
                fault, why = ReplyFault.TIMEOUT, "no answer in time"
            case ssl.SSLCertVerificationError(verify_message=said):  # those of aiohttp have none
                why = f"the TLS certificate is not valid ({said})"
                remedy = f"Correct the host name or the certificate, or set {authorities}."
            case ssl.SSLError(reason=said):
                why = f"no TLS ({provider_kind(said)})"
            case socket.gaierror():
                why = "DNS does not know the host name"
            case ConnectionRefusedError():
                why = "connection refused"
            case _:
                continue
        break
    return ModelError(fault, f"{what}: {why}", remedy=remedy)


def _chain(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__
