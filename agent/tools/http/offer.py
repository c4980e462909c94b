"""Whether a configured tool can be offered in this process.

A record may name any host and any secret; what it gets is up to the operator, who lists the hosts
(`HTTP_TOOL_HOSTS`), the variables that a header may hold, and the hosts that may be sent each of
them (`HTTP_TOOL_SECRETS`). Rejected: variables with a prefix, because then every variable that is
set for another purpose under that prefix is open to all records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.conversation.httptool import HttpTool, UrlTemplate, secrets_in
from agent.hosts import Hosts, Secret

_SENDABLE = re.compile(r"[\x21-\x7e]+")


def fault_of(tool: HttpTool, hosts: Hosts, secrets: Mapping[str, Secret]) -> str:
    """Why a tool cannot be used, `field: fault`; empty if it can.

    Args:
        tool: Its declaration.
        hosts: Who may be spoken to.
        secrets: The variables headers may hold, by name.
    """
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
