"""Profile records: what is known about a caller (seed section A9).

A profile must never stop a call: what is missing, or is no text, is empty. So is a name or an
address that could not be saved today: a caller may have put anything there before there were rules
(`agent.call.text`), and it would be spoken and told to the model.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.call.text import name_in
from agent.ports import Item, Store
from agent.usecases.caller_identity import is_email_address
from agent.usecases.use_case import Profile, use_case_name
from agent.usecases.validation import text_in

PROFILE = "profile"


async def profile(store: Store, caller: str) -> Profile | None:
    """What is known about a caller; `None` for one who never was."""
    item = await store.get(caller, PROFILE) if caller else None
    return None if item is None else profile_from_item(item)


def profile_from_item(item: Mapping[str, object]) -> Profile:
    """A profile, with what is missing or cannot be used left empty."""
    email = text_in(item, "email").strip()
    return Profile(
        caller=text_in(item, "pk"),
        first_name=name_in(text_in(item, "firstName")),
        last_name=name_in(text_in(item, "lastName")),
        email=email if is_email_address(email) else "",
        use_case=use_case_name(item.get("useCase")),
    )


def profile_item(profile: Profile) -> Item:
    """The item of a profile; what is empty is left out, so that merging it erases nothing."""
    attributes = {
        "firstName": profile.first_name,
        "lastName": profile.last_name,
        "email": profile.email,
        "useCase": profile.use_case,
    }
    known = {name: value for name, value in attributes.items() if value}
    caller = profile.caller
    return {"pk": caller, "sk": PROFILE, "pk1": PROFILE, "sk1": caller, **known}
