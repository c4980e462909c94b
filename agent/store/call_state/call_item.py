"""The session item of a call, and the single-use token of its socket (seed section A7.3).

The webhook that set a call up and the socket that carries it may meet different processes: what
the second needs, the first leaves in this item.

- It is written twice. When the call rings, it is put beside the reading of all that the call needs,
  so that both take one round trip; it opens the socket and names the caller. What was read is
  merged into it afterwards, while Twilio already has its answer. A socket that is quicker than
  that, or that finds the second half lost with its process, has the call set up again from the
  first.
- Fields of the webhook are attributes beside ours, so they are taken from a closed list and ours
  are written over them: a parameter called `systemPrompt` never becomes one (D5).
- The socket's token is known to Twilio alone; the item holds its hash. It is spent by a marker
  item written only if absent, so that of two sockets with one token one is refused (D4), also
  when they reach two processes at once.
- Twilio may ask twice for one line of a call, and use either answer. The token of the second answer
  joins that of the first, in an item of its own (`joined::<hash>`): each of the two opens the same
  first socket, for they share the marker.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.ports import Item, Store
from agent.usecases.caller_identity import (
    ATTESTATIONS,
    UNKNOWN,
    identify,
    is_telephone_number,
    is_trusted,
)
from agent.usecases.named_tools import handlers_text, tools_text
from agent.usecases.record import CONFIGURATION
from agent.usecases.use_case import Profile, UseCase, profile_from_item, use_case_name
from agent.usecases.validation import plain

CONNECTION = "connection"
CALL_SECONDS = 24 * 3600
"""How long items of a call are kept."""
TOKEN_ATTRIBUTES = ("socketToken", "socketTokenExpireAt")
TOKEN_SECONDS = 120
"""How long after the webhook Twilio may open the socket."""


class TokenUse(StrEnum):
    """What a token that came with an upgrade request is good for."""

    FIRST = "first"
    """It opens the socket."""
    AGAIN = "again"
    """It has done so, and the relay may open the socket again by itself (`applicationReconnect`,
    relay reference section 4.5)."""
    REFUSED = "refused"


VERSTAT = "StirVerstat"
"""What Twilio has found out about the caller's number; a field of the first webhook of a call."""
UNTRUSTED = "callerUntrusted"
"""Attribute: the caller is taken for a stranger, whatever number is shown."""
_EDITABLE = ("systemPrompt", "tools", "dtmfHandlers", "llmModel")
_PLACE = ("City", "State", "Zip", "Country")
WEBHOOK_FIELDS = frozenset(
    {
        "CallSid", "AccountSid", "From", "To", "Caller", "Called", "Direction", "CallStatus",
        "ApiVersion", "ApplicationSid", "ParentCallSid", "ForwardedFrom", "CallerName",
        VERSTAT,
    }
    | {f"{side}{place}" for side in ("From", "To", "Caller", "Called") for place in _PLACE}
)  # fmt: skip
"""Fields of Twilio's voice webhook that are kept. Others may be an app's own parameters."""


@dataclass(frozen=True, slots=True)
class SessionItem:
    """How a call was set up."""

    use_case: UseCase
    version: int
    """Of the use case, to which the call is pinned; 0 = the record as it stands."""
    model: str
    """Identifier of the model that answers."""
    system_prompt: tuple[str, str]
    """With its placeholders filled: what is the same for all calls, and the rest."""
    profile_item: Mapping[str, object]
    """The caller's, or nothing."""


def opening_item(
    call_sid: str,
    webhook: Mapping[str, str],
    *,
    token: str,
    now: float,
    outbound: str = "",
    trusted: str = ATTESTATIONS[0],
) -> Item:
    """The item of a call that rings: what is known before anything is read.

    Args:
        call_sid: Not empty.
        webhook: All fields of the request; the known ones are kept.
        token: The socket's secret, in clear.
        now: Epoch seconds; the start of the call for the order of its facts (`startedMs`).
        outbound: Use case of a call that we made; empty = one that came in.
        trusted: What is asked of the caller's number, see
        `agent.usecases.caller_identity.is_trusted`.
    """
    made = {"outboundUseCase": outbound} if outbound else _doubts(webhook, trusted)
    return {
        **{field: value for field, value in webhook.items() if field in WEBHOOK_FIELDS},
        "pk": call_sid,
        "sk": CONNECTION,
        "startedMs": int(now * 1000),
        "expireAt": int(now) + CALL_SECONDS,
        **token_attributes(token, now),
        **made,
    }


def set_up_attributes(session: SessionItem) -> dict[str, object]:
    """What is merged into the item when the call was set up."""
    return {
        "llmModel": session.model,
        "mayReconnect": session.use_case.relay.get("applicationReconnect") == "true",
        "useCase": session.use_case.name,
        "useCaseVersion": session.version,
        "userContext": dict(session.profile_item),
        "systemPrompt": [{"text": part} for part in session.system_prompt if part],
        "tools": tools_text(session.use_case.tools),
        "dtmfHandlers": handlers_text(session.use_case.keypad),
    }


def profile_item_of(item: Mapping[str, object]) -> Item:
    """The caller's profile item as it was when the call was set up, or nothing."""
    context = item.get("userContext")
    return context if isinstance(context, dict) else {}


def profile_of(item: Mapping[str, object]) -> Profile:
    """What was known about the caller then."""
    known = profile_item_of(item)
    return profile_from_item(known) if known else Profile(identity_of(item))


def outbound_use_case(item: Mapping[str, object]) -> str:
    """The use case a call of ours was made for; empty for a call that came in."""
    return use_case_name(item.get("outboundUseCase"))


def use_case_of(item: Mapping[str, object]) -> str:
    """The use case that answers the call; empty if the item names none."""
    return use_case_name(item.get("useCase"))


def identity_of(item: Mapping[str, object]) -> str:
    """Who is at the other end of a session item's call; empty for one we cannot recognise.

    Everything that is kept for a caller, or told to one, goes by this identity.
    """
    return UNKNOWN if item.get(UNTRUSTED) else number_of(item)


def number_of(item: Mapping[str, object]) -> str:
    """As `identity_of`, also where the caller may not be the owner of the number.

    For limits alone: a call under a false number counts, too.
    """
    return identify(str(item.get("To" if outbound_use_case(item) else "From", "")))


def is_forged(webhook: Mapping[str, str], trusted: str) -> bool:
    """The number of the caller may be false; an app's caller is named by its token."""
    is_number = is_telephone_number(webhook.get("From", "").strip())
    return is_number and not is_trusted(webhook.get(VERSTAT, ""), trusted)


def our_number(item: Mapping[str, object]) -> str:
    """Our number; empty where an app has called, which chooses its `To` freely.

    Args:
        item: Fields of a webhook, or a session item.
    """
    caller, called = str(item.get("From", "")), str(item.get("To", ""))
    if caller.startswith("client:"):
        return ""
    return caller if str(item.get("Direction", "")).startswith("outbound") else called


def version_of(item: Mapping[str, object]) -> int:
    """The version of the use case the call is pinned to; 0 = the record as it stands."""
    version = item.get("useCaseVersion")
    return version if isinstance(version, int) else 0


def is_edited(item: Mapping[str, object], before: Mapping[str, object]) -> bool:
    """Somebody has changed what may be changed while the call runs."""
    return any(item.get(name) != before.get(name) for name in _EDITABLE)


def is_set_up(item: Mapping[str, object]) -> bool:
    """The item holds more than the opening."""
    return "systemPrompt" in item


def token_attributes(token: str, now: float) -> dict[str, object]:
    """What the session item knows of a token; merge it to give a resumed call a new one."""
    return {"socketToken": _hash(token), "socketTokenExpireAt": int(now) + TOKEN_SECONDS}


def leading_token(item: Mapping[str, object]) -> str:
    """The hash of the token that a session item, or another one, knows; empty = none."""
    known = item.get("socketToken")
    return known if isinstance(known, str) else ""


async def join_token(store: Store, call_sid: str, token: str, leading: str, now: float) -> bool:
    """Let a further token open the same first socket as another one.

    Args:
        store: The table.
        call_sid: Not empty.
        token: The further one, in clear.
        leading: `leading_token` of the item that knows the other one.
        now: Epoch seconds.

    Returns:
        False, and nothing written, if there is no other one or the socket was opened already.
    """
    if not leading or await store.get(call_sid, _marker(leading)) is not None:
        return False
    joined: Item = {
        "pk": call_sid,
        "sk": _joined(_hash(token)),
        "leading": leading,
        "socketTokenExpireAt": int(now) + TOKEN_SECONDS,
        "expireAt": int(now) + CALL_SECONDS,
    }
    await store.put(joined)
    return True


async def spend_token(store: Store, call_sid: str, token: str, now: float) -> TokenUse:
    """Whether this token opens the socket of this call: for the first time at most once.

    Args:
        store: The table.
        call_sid: Not empty.
        token: As it came with the upgrade request.
        now: Epoch seconds.
    """
    item = await store.get(call_sid, CONNECTION) or {}
    leading, presented = leading_token(item), _hash(token)
    expire_at = await _expiry(store, item, call_sid, presented)
    if expire_at is None:
        return TokenUse.REFUSED
    marker: Item = {
        "pk": call_sid,
        "sk": _marker(leading),
        "opened": presented,
        "expireAt": int(now) + CALL_SECONDS,
    }
    if now < expire_at and await store.put(marker, only_if_absent=True):
        return TokenUse.FIRST
    spent = (
        await store.get(call_sid, _marker(leading)) if item.get("mayReconnect") is True else None
    )
    was_by_it = spent is not None and spent.get("opened", leading) == presented
    return TokenUse.AGAIN if was_by_it else TokenUse.REFUSED


async def _expiry(
    store: Store, item: Mapping[str, object], call_sid: str, presented: str
) -> float | None:
    """Until when a token opens the first socket of the latest line; None = it is none of it."""
    leading = leading_token(item)
    if not hmac.compare_digest(leading, presented):
        item = await store.get(call_sid, _joined(presented)) or {}
        if not leading or item.get("leading") != leading:
            return None
    expire_at = plain(item.get("socketTokenExpireAt"))
    return expire_at if isinstance(expire_at, int) else None


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


def _doubts(webhook: Mapping[str, str], trusted: str) -> dict[str, object]:
    return {UNTRUSTED: True} if is_forged(webhook, trusted) else {}


def _marker(leading: str) -> str:
    return f"token::{leading}"


def _joined(hashed: str) -> str:
    return f"joined::{hashed}"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
