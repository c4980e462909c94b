"""Whether a configured tool can be offered in this process.

A record may name any host and any secret; what it gets is up to whoever runs the process, who lists
the hosts (`HTTP_TOOL_HOSTS`) and names the variables that may be put into a header
(`HTTP_TOOL_SECRETS`). Rejected: variables with a prefix, because then every one that somebody sets
for another purpose under that prefix is open to all records, and none can keep the name it has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.conversation.httptool import HttpTool, secrets_in
from agent.hosts import Hosts

_SENDABLE = re.compile(r"[\x21-\x7e]+")


def fault_of(tool: HttpTool, hosts: Hosts, secrets: Mapping[str, str]) -> str:
    """Why a tool cannot be used, `field: fault`; empty if it can.

    Args:
        tool: Its declaration.
        hosts: Who may be spoken to.
        secrets: The variables headers may hold, by name; empty = named but not set.
    """
    url = tool.url
    if not hosts.lists(url.scheme, url.host, url.port):
        return f"url: {url.origin} is not in HTTP_TOOL_HOSTS"
    for name, value in tool.headers:
        for secret in secrets_in(value):
            if fault := _fault_of_secret(secret, secrets):
                return f"headers.{name}: {secret} {fault}"
    return ""


def _fault_of_secret(name: str, secrets: Mapping[str, str]) -> str:
    if name not in secrets:
        return "is not in HTTP_TOOL_SECRETS"
    if not secrets[name]:
        return "is not set"
    return "" if _SENDABLE.fullmatch(secrets[name]) else "holds characters no header may have"
