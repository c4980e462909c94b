"""The session item of a call, and the single-use token of its socket (seed section A7.3).

The webhook that set a call up and the socket that carries it may meet different processes: what
the second needs, the first leaves in this item.

- Fields of the webhook are attributes beside ours, so they are taken from a closed list and ours
  are written over them: a parameter called `systemPrompt` never becomes one (D5).
- The socket's token is known to Twilio alone; the item holds its hash. It is spent by a marker
  item written only if absent, so that of two sockets with one token one is refused (D4), also
  when they reach two processes at once.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from agent.conversation.usecase import UseCase
from agent.ports import Item, Store
from agent.store.records import CONFIGURATION, handlers_text, tools_text
from agent.store.validation import plain

CONNECTION = "connection"
CALL_SECONDS = 24 * 3600
"""How long items of a call are kept."""
TOKEN_SECONDS = 120
"""How long after the webhook Twilio may open the socket."""

_PLACE = ("City", "State", "Zip", "Country")
WEBHOOK_FIELDS = frozenset(
    {
        "CallSid", "AccountSid", "From", "To", "Caller", "Called", "Direction", "CallStatus",
        "ApiVersion", "ApplicationSid", "ParentCallSid", "ForwardedFrom", "CallerName",
        "StirVerstat",
    }
    | {f"{side}{place}" for side in ("From", "To", "Caller", "Called") for place in _PLACE}
)  # fmt: skip
"""Fields of Twilio's voice webhook that are kept. Others may be an app's own parameters."""


@dataclass(frozen=True, slots=True)
class Session:
    """How a call was set up."""

    call_sid: str
    use_case: UseCase
    model: str
    """Identifier of the model that answers."""
    system_prompt: tuple[str, str]
    """With its placeholders filled: what is the same for all calls, and the rest."""
    profile: Mapping[str, object]
    """The caller's profile item, or nothing."""


def session_item(session: Session, webhook: Mapping[str, str], *, token: str, now: float) -> Item:
    """The item of a call.

    Args:
        session: How the call is set up.
        webhook: All fields of the request; the known ones are kept.
        token: The socket's secret, in clear.
        now: Epoch seconds; the start of the call for the order of its facts (`startedMs`).
    """
    return {
        **{field: value for field, value in webhook.items() if field in WEBHOOK_FIELDS},
        "pk": session.call_sid,
        "sk": CONNECTION,
        "llmModel": session.model,
        "useCase": session.use_case.name,
        "userContext": dict(session.profile),
        "systemPrompt": [{"text": part} for part in session.system_prompt if part],
        "tools": tools_text(session.use_case.tools),
        "dtmfHandlers": handlers_text(session.use_case.keypad),
        "startedMs": int(now * 1000),
        "expireAt": int(now) + CALL_SECONDS,
        **token_attributes(token, now),
    }


def token_attributes(token: str, now: float) -> dict[str, object]:
    """What the session item knows of a token; merge it to give a resumed call a new one."""
    return {"socketToken": _hash(token), "socketTokenExpireAt": int(now) + TOKEN_SECONDS}


async def spend_token(store: Store, call_sid: str, token: str, now: float) -> bool:
    """Whether this token opens the socket of this call: true at most once.

    Args:
        store: The table.
        call_sid: Not empty.
        token: As it came with the upgrade request.
        now: Epoch seconds.
    """
    match plain(await store.get(call_sid, CONNECTION)):
        case {"socketToken": str(known), "socketTokenExpireAt": int(expire_at)}:
            if not hmac.compare_digest(known, _hash(token)) or now >= expire_at:
                return False
        case _:
            return False
    marker: Item = {
        "pk": call_sid,
        "sk": f"token::{known}",
        "expireAt": int(now) + CALL_SECONDS,
    }
    return await store.put(marker, only_if_absent=True)


def record_of_call(record: Mapping[str, object], session: Mapping[str, object]) -> Item:
    """A use case's record as one call has it, to be parsed like any record.

    A session item may be rewritten while the call runs; its prompt (filled), tools, keys and
    model come before those of the record. The prompt's first block is the part that is the same
    for all calls.
    """
    prompt, context = session.get("systemPrompt"), None
    if isinstance(prompt, list):
        prompt, context = prompt[:1], prompt[1:] or None
    return {
        **record,
        "sk": CONFIGURATION,
        "prompt": prompt,
        "promptContext": context,
        "tools": session.get("tools"),
        "dtmfHandlers": session.get("dtmfHandlers"),
        "llmModel": session.get("llmModel"),
    }


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
