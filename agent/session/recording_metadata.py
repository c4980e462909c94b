"""With what a line of a call began, for its record, and with what it would begin today.

Prompts are compared before they are filled: what they tell of the day, of the caller and of earlier
orders is never the same again. Hence a prompt that was edited for one call alone, in its session
item, is not seen to differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from agent import call as conversation
from agent.call.actions import StartReply
from agent.call.messages import ReplyRequest
from agent.call.resumption import Resumption
from agent.observability import VersionStamp
from agent.observability.recording.replay import Today
from agent.observability.recording.serialization import (
    Beginning,
    asks_digest,
    prompt_digest,
    tools_digest,
)
from agent.ports import Item
from agent.session.call_setup import CallSetup
from agent.session.live_config import LiveConfiguration, brief_of, request_of, template_of
from agent.store.call_state import call_item as session
from agent.usecases import record as records
from agent.usecases.versions import intact_version

_NOTHING_ASKED = StartReply(0, ())
_WEBHOOK = ("CallSid", "From", "To", "Direction", "outboundUseCase", "startedMs", session.UNTRUSTED)


def beginning_of(
    configuration: LiveConfiguration, item: Item, resumption: Resumption | None, now: float
) -> Beginning:
    """With what a line begins.

    Args:
        configuration: Of the call.
        item: Its session item.
        resumption: None for its first line.
        now: Epoch seconds.
    """
    return Beginning(
        brief=configuration.brief,
        resumption=resumption,
        stamp=answering(configuration, item),
        began_ms=int(now * 1000),
        webhook={name: str(item[name]) for name in _WEBHOOK if name in item},
        profile=session.profile_item_of(item),
    )


def asks_of(configuration: LiveConfiguration) -> str:
    """`forms.asks_digest` of what is in force in a call."""
    return asks_digest(configuration.template, configuration.request(_NOTHING_ASKED))


def answering(configuration: LiveConfiguration, item: Item) -> VersionStamp:
    """Which versions answer a call now."""
    request = configuration.request(_NOTHING_ASKED)
    return _stamp(configuration.use_case.name, item, configuration.template, request)


async def today(setups: CallSetup, began: Beginning, model: str) -> Today:
    """With what the same call would begin now: the same caller, in the same use case as it stands.

    Args:
        setups: Reads the table.
        began: With what it began.
        model: Identifier of the process's own.

    Raises:
        UseCaseError: There is no such use case any more, or it is broken.
        StoreError: The table cannot be reached.
    """
    record = await setups.record_of({"useCase": began.stamp.use_case})
    use_case, template = setups.parse(record), template_of(record)
    item: Item = {
        **began.webhook,
        "userContext": began.profile,
        "llmModel": use_case.model.identifier or model,
        "useCaseVersion": 0 if records.has_live_edits(record) else intact_version(record),
    }
    request = request_of(use_case, _NOTHING_ASKED)
    stamp = _stamp(use_case.name, item, template, request)
    return Today(brief_of(use_case, item), stamp, asks_digest(template, request))


def _stamp(
    use_case: str, item: Mapping[str, object], template: object, request: ReplyRequest
) -> VersionStamp:
    return VersionStamp(
        use_case=use_case,
        version=session.version_of(item),
        model=str(item.get("llmModel", "")),
        prompt=prompt_digest(template),
        tools=tools_digest(request.tools),
        code=code_digest(),
    )


@cache
def code_digest() -> str:
    """Of the sources of the rules; read once in a process."""
    digest = sha256()
    for file in sorted(Path(*conversation.__path__).glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]
