"""With what a line of a call began, for its record, and with what it would begin today.

Today's prompt is filled for the moment in which the call began, so that it does not differ only
because the date does. What it tells of the caller's past is read today.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from agent import conversation
from agent.configuration import LiveConfiguration, brief_of, request_of
from agent.conversation.actions import StartReply
from agent.conversation.messages import ReplyRequest
from agent.conversation.resuming import Resumption
from agent.ports import Item
from agent.recording.forms import Beginning, Stamp, asks_digest, prompt_digest, tools_digest
from agent.recording.replay import Today
from agent.setup import Setups
from agent.store import session

_NOTHING_ASKED = StartReply(0, ())
_WEBHOOK = ("CallSid", "From", "To", "Direction", "outboundUseCase")


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
    request = configuration.request(_NOTHING_ASKED)
    return Beginning(
        brief=configuration.brief,
        resumption=resumption,
        stamp=_stamp(configuration.use_case.name, item, request),
        began_ms=int(now * 1000),
        webhook={name: str(item[name]) for name in _WEBHOOK if name in item},
    )


async def today(setups: Setups, webhook: Mapping[str, str]) -> Today:
    """With what the same call would begin now.

    Args:
        setups: With a clock that shows when the call began.
        webhook: Of its record.

    Raises:
        UseCaseError: No use case can answer.
        StoreError: The table cannot be reached.
    """
    setup = await setups.read(webhook)
    item = {**webhook, **session.set_up_attributes(setup.session)}
    record = await setups.record_of(item)
    use_case = setups.parse(session.record_of_call(record, item))
    request = request_of(use_case, _NOTHING_ASKED)
    stamp = _stamp(use_case.name, item, request)
    return Today(brief_of(use_case, item), stamp, asks_digest(request))


def _stamp(use_case: str, item: Mapping[str, object], request: ReplyRequest) -> Stamp:
    return Stamp(
        use_case=use_case,
        version=session.version_of(item),
        model=str(item.get("llmModel", "")),
        prompt=prompt_digest(request),
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
