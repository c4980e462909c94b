"""A tool that is configuration: one HTTP request, described and not programmed.

Where a value may stand decides what it can do. Arguments of the model and facts of the call fill
path segments, values of the query, and values of the body, so that host, number of segments and
names of the query are what the author wrote. Secrets of the process fill headers and nothing else:
a URL is logged by others, a body is echoed in answers.

`{name}` is an argument, `{call.caller}` a fact. There is no escape for a brace: none is needed in
a URL, and in a body nobody has missed it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent.call.messages import SideEffect, ToolSpec

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Kind = Literal["string", "integer", "number", "boolean"]
Argument = str | int | float | bool

CALL_FACTS = ("call.caller", "call.called", "call.id", "call.use_case")
"""What a template may know of the call; never from the model."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SECRET = re.compile(r"\$\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A place for a value."""

    name: str
    """Of a parameter, or one of `CALL_FACTS`."""


Template = tuple[str | Placeholder, ...]
"""Literal text and placeholders, in order."""


def read_template(text: str) -> Template:
    """Parse a text with `{placeholders}`; `ValueError` if a brace stands alone."""
    pieces: list[str | Placeholder] = []
    for number, piece in enumerate(_PLACEHOLDER.split(text)):
        if number % 2:
            pieces.append(Placeholder(piece))
        elif "{" in piece or "}" in piece:
            raise ValueError("a brace stands alone")
        elif piece:
            pieces.append(piece)
    return tuple(pieces)


@dataclass(frozen=True, slots=True)
class UrlTemplate:
    """Where a request goes."""

    scheme: str
    host: str
    """As `agent.usecases.host_allowlist.read_host` gives it."""
    port: int
    path: tuple[Template, ...]
    """The segments after the first slash."""
    query: tuple[tuple[str, Template], ...] = ()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What the model has to say when it calls the tool."""

    name: str
    description: str
    kind: Kind = "string"
    is_required: bool = True
    choices: tuple[str, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class HttpTool:
    """One tool and its request."""

    spec: ToolSpec
    method: Method
    url: UrlTemplate
    parameters: tuple[Parameter, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    """Values may hold `${NAME}`, see `filled_header`."""
    body: str = ""
    """JSON text whose strings are templates; empty = none."""
    result: tuple[tuple[str, str], ...] = ()
    """What the model is told: name and JSON pointer into the answer; empty = all of it."""
    error: str = ""
    """JSON pointer to the sentence that explains a refusal; empty = none is told."""
    timeout: float = 5.0
    """Seconds, with the repetition."""
    has_key: bool = False
    """Sends `Idempotency-Key`, by which the other side knows a repetition."""

    @property
    def is_repeatable(self) -> bool:
        """Sending the same request again leaves the world the same."""
        return self.has_key or self.spec.side_effect is not SideEffect.ONCE


def secrets_in(header: str) -> list[str]:
    """The names of the secrets in a header's value."""
    return _SECRET.findall(header)


def filled_header(header: str, secrets: Mapping[str, str]) -> str:
    """A header's value with its secrets in their places; each must be there."""
    return _SECRET.sub(lambda found: secrets[found[1]], header)
