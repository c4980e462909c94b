"""The operator's list of MCP servers, in the form that other programs use.

    {"mcpServers": {
        "crm": {"url": "https://crm.example.com/mcp",
                "headers": {"Authorization": "Bearer ${TOKEN}"}},
        "stock": {"command": "stock-server", "args": ["--shop", "7"],
                  "env": {"KEY": "${STOCK_KEY}"}}
    }}

A record in the table can only name tools of these servers, never a command or an address. Secrets
are named, `${NAME}`, and read from the environment. A server whose secret is missing is left out
and reported; a list that cannot be read, or has an unknown key, stops the start. A server's name
has no two underscores in a row, so that two servers never offer the same `server__tool`.
`MCP_CONFIG` is a file, or the JSON itself where a process has no file of its own, as on Fargate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, UnsetType
from msgspec.structs import replace

from agent.call.messages import SideEffect
from agent.errors import AgentError
from agent.usecases.tool_event import ToolEvent

_NAME = re.compile(r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LONGEST_NAME = 24

_Text = Annotated[str, Meta(min_length=1)]


class McpFileError(AgentError):
    """The list cannot be used; one line that begins with `MCP_CONFIG`."""


class McpServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One server in the file: over streamable HTTP, or a child process spoken to over pipes."""

    url: str = ""
    headers: dict[str, str] = {}
    command: str = ""
    args: list[str] = []
    env: dict[str, str] = {}
    """Variables of the child; it inherits only `PATH`, `HOME` and the like."""
    type: Literal["http", "streamable-http", "streamableHttp", "stdio"] | UnsetType = msgspec.UNSET
    """Accepted because other programs write it, and ignored."""
    timeout: Annotated[float, Meta(ge=0.1, le=30)] = 8.0
    """Seconds for one tool call."""
    tools: list[_Text] | None = None
    """The tools to offer, by the server's own names; unset = all."""
    side_effects: dict[str, SideEffect] = {}
    """By the server's own names; they win over its hints."""
    read_back: dict[str, list[_Text]] = {}
    """By the server's own names: the arguments that are read back before the tool runs."""
    events: dict[str, ToolEvent] = {}
    """By the server's own names: what a tool tells when it has done something."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    mcpServers: dict[str, McpServerConfig] = {}  # noqa: N815 (the spelling of the file)


def place(config: str) -> str:
    """What messages call the list: its path. JSON is not repeated, for it may hold a secret."""
    return "the JSON" if config.lstrip().startswith("{") else config


def read(
    config: str, environment: Mapping[str, str]
) -> tuple[dict[str, McpServerConfig], dict[str, str]]:
    """The servers with their secrets filled in, and the reason for each server left out.

    Both are by the name with which tool names begin. `config` is the path of a file, or JSON, which
    begins with a brace. Raises `McpFileError`.
    """
    path = place(config)
    try:
        text = Path(config).read_text("utf-8-sig") if path == config else config
        servers = msgspec.json.decode(text, type=_File).mcpServers
    except (OSError, ValueError, RecursionError) as error:
        # `error` names the place of a fault and not the text, which may hold a secret.
        fault = error.strerror if isinstance(error, OSError) else error
        raise McpFileError(f"MCP_CONFIG: {path}: {fault}") from error
    usable, left_out = {}, {}
    for name, entry in servers.items():
        key = name.replace("-", "_")
        if fault := _fault(name, entry):
            raise McpFileError(f"MCP_CONFIG: {path}: {name[:64]!r}: {fault}")
        if key in usable or key in left_out:
            raise McpFileError(f"MCP_CONFIG: {path}: {name!r}: is named twice")
        filled, missing = _filled(entry, environment)
        if missing:
            left_out[key] = f"{', '.join(missing)} is not set"
        else:
            usable[key] = filled
    return usable, left_out


def _fault(name: str, entry: McpServerConfig) -> str:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        return f"a name is 1-{_LONGEST_NAME} letters and digits, with single - or _ between them"
    if bool(entry.url) is bool(entry.command):
        return "needs either url or command"
    if entry.url:
        parts = urlsplit(entry.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return "url must be https://host/path or http://host/path"
        if "@" in parts.netloc:
            return "url must have no user name; use headers"
    for key, named in (
        ("sideEffects", entry.side_effects),
        ("readBack", entry.read_back),
        ("events", entry.events),
    ):
        if entry.tools is not None and (stray := named.keys() - {*entry.tools}):
            return f"{key}: {sorted(stray)[0]!r} is not in tools"
    return ""


def _filled(
    entry: McpServerConfig, environment: Mapping[str, str]
) -> tuple[McpServerConfig, list[str]]:
    """Also the variables that are not set."""
    missing: dict[str, None] = {}

    def value(found: re.Match[str]) -> str:
        if not environment.get(found[1]):
            missing[found[1]] = None
        return environment.get(found[1], "")

    fill = partial(_VARIABLE.sub, value)
    filled = replace(
        entry,
        url=fill(entry.url),
        headers={name: fill(text) for name, text in entry.headers.items()},
        args=[fill(text) for text in entry.args],
        env={name: fill(text) for name, text in entry.env.items()},
    )
    return filled, list(missing)
