"""The session item of a call, and the single-use tokens of its sockets.

Webhook and socket may reach different processes: what the socket needs is in this item. It is put
when the call rings and completed after Twilio has its answer. Only Twilio knows a token; the item
holds its hash. A token is spent by a marker item written only if absent, so of two sockets with one
token one is refused. Twilio may request one connection twice and use either answer: the second
token joins the first (`joined::<hash>`), by one marker.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from agent.ports import Item, Store
from agent.usecases import Profile, UseCase, profile_from_item, use_case_name
from agent.usecases.caller_identity import (
    ATTESTATIONS,
    UNKNOWN,
    identify,
    is_telephone_number,
    is_trusted,
)
from agent.usecases.named_tools import handlers_text, tools_text
from agent.usecases.record import CONFIGURATION
from agent.usecases.validation import plain

CONNECTION = "connection"
REDACTION = "redaction"
"""Sort key of the item of a call that is redacted, or will be (`agent.session.call_redaction`)."""
REDACTED = "done"
"""Its `state` when all of the call is."""
CALL_SECONDS = 24 * 3600
"""How long items of a call are kept, but for those with a retention of their own."""
TOKEN_ATTRIBUTES = ("socketToken", "socketTokenExpireAt")
TOKEN_SECONDS = 120
"""How long after the webhook Twilio may open the socket."""


class TokenUse(StrEnum):
    """What a token of an upgrade request allows; `AGAIN` is a reopening of the same socket."""

    FIRST = "first"
    AGAIN = "again"
    REFUSED = "refused"


class SpentToken(NamedTuple):
    """A token after its use, and the session item as it was read for it."""

    use: TokenUse
    item: Item | None


VERSTAT = "StirVerstat"
"""Twilio's verification of the caller's number; a field of the first webhook of a call."""
UNTRUSTED = "callerUntrusted"
"""Attribute: the caller's number may be forged, so the caller counts as unknown."""
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
"""Fields of Twilio's voice webhook that are stored. Others may be parameters of an app."""


@dataclass(frozen=True, slots=True)
class SessionItem:
    """How a call was set up."""

    use_case: UseCase
    version: int
    """Of the use case, to which the call is pinned; 0 = the current record."""
    model: str
    system_prompt: tuple[str, str]
    """With its placeholders filled: the part that all calls share, and the rest."""
    profile_item: Mapping[str, object]
    variables: Mapping[str, str] = field(default_factory=dict)
    """Their values in this call."""


def opening_item(
    call_sid: str,
    webhook: Mapping[str, str],
    *,
    token: str,
    now: float,
    outbound: str = "",
    trusted: str = ATTESTATIONS[0],
) -> Item:
    """The item of a call that rings, from its webhook alone; unknown fields are not stored.

    `token` is the socket's secret in clear text; `now` is epoch seconds; `trusted` is the weakest
    attestation that is trusted, see `agent.usecases.caller_identity.is_trusted`.
    """
    item: Item = {
        **{field: value for field, value in webhook.items() if field in WEBHOOK_FIELDS},
        "pk": call_sid,
        "sk": CONNECTION,
        "startedMs": int(now * 1000),
        "expireAt": int(now) + CALL_SECONDS,
        **token_attributes(token, now),
    }
    if outbound:
        item["outboundUseCase"] = outbound
    elif is_forged(webhook, trusted):
        item[UNTRUSTED] = True
    return item


def set_up_attributes(session: SessionItem) -> dict[str, object]:
    """The attributes that are merged into the item when the call is set up."""
    return {
        "llmModel": session.model,
        "mayReconnect": session.use_case.relay.get("applicationReconnect") == "true",
        "useCase": session.use_case.name,
        "useCaseVersion": session.version,
        "userContext": dict(session.profile_item),
        **({"variables": dict(session.variables)} if session.variables else {}),
        "systemPrompt": [{"text": part} for part in session.system_prompt if part],
        "tools": tools_text(session.use_case.tools),
        "dtmfHandlers": handlers_text(session.use_case.keypad),
    }


def variables_of(item: Mapping[str, object]) -> dict[str, str]:
    """The variables of a call; what is no text is left out."""
    found = item.get("variables")
    known = found if isinstance(found, dict) else {}
    return {name: value for name, value in known.items() if isinstance(value, str)}


def profile_item_of(item: Mapping[str, object]) -> Item:
    """The caller's profile item as it was when the call was set up; empty without one."""
    context = item.get("userContext")
    return context if isinstance(context, dict) else {}


def profile_of(item: Mapping[str, object]) -> Profile:
    """As `profile_item_of`, as a profile."""
    known = profile_item_of(item)
    return profile_from_item(known) if known else Profile(identity_of(item))


def outbound_use_case(item: Mapping[str, object]) -> str:
    """The use case of an outbound call; empty for an inbound call."""
    return use_case_name(item.get("outboundUseCase"))


def use_case_of(item: Mapping[str, object]) -> str:
    """The name of the call's use case; empty if the item names none."""
    return use_case_name(item.get("useCase"))


def identity_of(item: Mapping[str, object]) -> str:
    """The identity under which a caller's data is stored; empty for an unknown caller."""
    return UNKNOWN if item.get(UNTRUSTED) else number_of(item)


def number_of(item: Mapping[str, object]) -> str:
    """As `identity_of`, but also for a number that may be forged: for limits only."""
    return identify(str(item.get("To" if outbound_use_case(item) else "From", "")))


def is_forged(webhook: Mapping[str, str], trusted: str) -> bool:
    """Whether the caller's number may be forged; an app's caller is authenticated by its token."""
    is_number = is_telephone_number(webhook.get("From", "").strip())
    return is_number and not is_trusted(webhook.get(VERSTAT, ""), trusted)


def our_number(item: Mapping[str, object]) -> str:
    """Our number in a webhook or session item; empty for an app, which chooses its `To` freely."""
    caller, called = str(item.get("From", "")), str(item.get("To", ""))
    if caller.startswith("client:"):
        return ""
    return caller if str(item.get("Direction", "")).startswith("outbound") else called


def version_of(item: Mapping[str, object]) -> int:
    """The version of the use case the call is pinned to; 0 = the current record."""
    version = item.get("useCaseVersion")
    return version if isinstance(version, int) else 0


def is_edited(item: Mapping[str, object], before: Mapping[str, object]) -> bool:
    """Whether an attribute differs that may be edited while the call runs."""
    return any(item.get(name) != before.get(name) for name in _EDITABLE)


def is_set_up(item: Mapping[str, object]) -> bool:
    """Whether the item is complete."""
    return "systemPrompt" in item


def token_attributes(token: str, now: float) -> dict[str, object]:
    """The attributes of a token; merge them to give a resumed call a new one."""
    return {"socketToken": _hash(token), "socketTokenExpireAt": int(now) + TOKEN_SECONDS}


def leading_token(item: Mapping[str, object]) -> str:
    """The hash of the token that an item holds; empty = none."""
    known = item.get("socketToken")
    return known if isinstance(known, str) else ""


async def join_token(store: Store, call_sid: str, token: str, leading: str, now: float) -> bool:
    """Let a second token open the socket of the one hashed `leading`; False if it was opened."""
    if not leading or await store.get(call_sid, _marker(leading)) is not None:
        return False
    kept = {"socketTokenExpireAt": int(now) + TOKEN_SECONDS, "expireAt": int(now) + CALL_SECONDS}
    await store.put({"pk": call_sid, "sk": f"joined::{_hash(token)}", "leading": leading, **kept})
    return True


async def spend_token(store: Store, call_sid: str, token: str, now: float) -> SpentToken:
    """Use a token: it opens the socket of this call for the first time at most once."""
    item = await store.get(call_sid, CONNECTION)
    use = await _use_of(store, item, call_sid, _hash(token), now) if item else TokenUse.REFUSED
    return SpentToken(use, item)


async def _use_of(store: Store, item: Item, call_sid: str, presented: str, now: float) -> TokenUse:
    """What the token with the hash `presented` allows; writes the marker for its first use."""
    leading, holder = leading_token(item), item
    if not hmac.compare_digest(leading, presented):
        holder = await store.get(call_sid, f"joined::{presented}") or {}
        if not leading or holder.get("leading") != leading:
            return TokenUse.REFUSED
    expire_at = plain(holder.get("socketTokenExpireAt"))
    if not isinstance(expire_at, int):
        return TokenUse.REFUSED
    marker: Item = {"pk": call_sid, "sk": _marker(leading), "opened": presented}
    marker["expireAt"] = int(now) + CALL_SECONDS
    if now < expire_at and await store.put(marker, only_if_absent=True):
        return TokenUse.FIRST
    if item.get("mayReconnect") is not True:
        return TokenUse.REFUSED
    spent = await store.get(call_sid, _marker(leading))
    was_opened_by_it = spent is not None and spent.get("opened", leading) == presented
    return TokenUse.AGAIN if was_opened_by_it else TokenUse.REFUSED


async def was_opened(store: Store, call_sid: str) -> bool:
    """Whether a token of this call was used, so that a socket came."""
    return bool(await store.query(call_sid, _marker("")))


def record_of_call(record: Mapping[str, object], session: Mapping[str, object]) -> Item:
    """A use case's record as one call has it; the first block of the prompt is shared by calls."""
    prompt, context = session.get("systemPrompt"), None
    if isinstance(prompt, list):
        prompt, context = prompt[:1], prompt[1:] or None
    kept = {name: session.get(name) for name in ("tools", "dtmfHandlers", "llmModel")}
    return {**record, "sk": CONFIGURATION, "prompt": prompt, "promptContext": context, **kept}


def _marker(leading: str) -> str:
    return f"token::{leading}"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
