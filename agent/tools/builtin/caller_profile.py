"""Tools that save facts about the caller: name, use case, e-mail address.

If the number is withheld, nothing is saved. A name and an address are saved only after a read-back
that was heard and a yes to it (`agent.call.heard_confirmation`). What a caller spells is often
heard wrongly, so the tool for an address is called twice: the first call answers how the address
is read and spelled.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from agent.call.messages import SideEffect
from agent.call.spoken_address import read_address, spell_out
from agent.call.text import NAME_LENGTH, name_in
from agent.errors import ToolError
from agent.tools.tool import CallContext, Tool, tool

_NO_NAME = (
    "Nothing was saved: that is no name. A name has only letters, spaces, apostrophes, hyphens and "
    f"full stops, and at most {NAME_LENGTH} characters. Ask the caller for the name alone."
)
_SPOKEN_ADDRESS = Meta(
    description="The address alone, as the caller says or spells it.", min_length=1, max_length=600
)


@tool(
    "DefaultSaveFirstAndLastName",
    side_effect=SideEffect.IDEMPOTENT,
    rename={"first_name": "firstName", "last_name": "lastName"},
    read_back=("firstName", "lastName"),
)
async def save_name(
    call: CallContext,
    first_name: Annotated[str, Meta(description="Given name.", min_length=1, max_length=80)],
    last_name: Annotated[str, Meta(description="Family name.", min_length=1, max_length=80)],
) -> dict[str, str]:
    """Store the caller's name in their profile.

    As soon as the caller has said both names, say them back in a short question; after a yes to it
    call this. Spell back a name you are not sure of.
    """
    if not (first_name.strip() and last_name.strip()):
        raise ToolError("Both names are needed. Ask the caller for the missing one.")
    first, last = name_in(first_name), name_in(last_name)
    if not (first and last):
        raise ToolError(_NO_NAME)
    attributes: dict[str, object] = {"firstName": first, "lastName": last}
    known = await call.store.get(_recognised(call), "profile") or {}
    if not known.get("useCase"):
        attributes["useCase"] = call.use_case
    await remember(call, attributes)
    return {"message": f'The name "{first} {last}" is saved.'}


@tool("DefaultSaveUseCase", side_effect=SideEffect.IDEMPOTENT, rename={"use_case": "useCase"})
async def save_use_case(
    call: CallContext,
    use_case: Annotated[str, Meta(description="Key of the use case.", min_length=1, max_length=80)],
) -> dict[str, str]:
    """Store which use case the caller has chosen; it answers when they ring again.

    Use it after the caller has clearly chosen one of the available use cases.
    """
    _recognised(call)
    offered = [str(item["pk"]) for item in await call.store.query_index("use-case")]
    chosen = [name for name in offered if name.casefold() == use_case.strip().casefold()]
    if not chosen:
        raise ToolError(f"There is no use case {use_case!r}. The keys are: {', '.join(offered)}.")
    await remember(call, {"useCase": chosen[0]})
    message = f"The choice {chosen[0]} is saved. Ask the caller to hang up and ring again."
    return {"message": message}


@tool("SaveEmailFunction", side_effect=SideEffect.IDEMPOTENT, read_back=("email",))
async def save_email(
    call: CallContext,
    email: Annotated[str, _SPOKEN_ADDRESS],
    confirmed: Annotated[
        bool, Meta(description="The caller has heard it letter by letter and said yes.")
    ] = False,
) -> dict[str, object]:
    """Store the caller's e-mail address in their profile, in two steps.

    First call it without confirmed and read back what it returns, letter by letter. Only after a
    clear yes to that call it again, with confirmed true.
    """
    _recognised(call)
    if (address := read_address(email)) is None:
        raise ToolError(
            "That is no e-mail address I can read. Ask the caller to spell it, with at and dot."
        )
    if not confirmed:
        return {
            "saved": False,
            "email": address,
            "read_back": spell_out(address),
            "message": "It is not saved yet. Read it back letter by letter, ask whether it is "
            "right, and after a clear yes call this again with confirmed true.",
        }
    await remember(call, {"email": address})
    return {"saved": True, "email": address, "message": "The e-mail address is saved."}


def _recognised(call: CallContext) -> str:
    if not call.is_caller_known:
        raise ToolError(
            "The caller's number is withheld, so nothing can be saved for their next call. "
            "Say so kindly and go on without it."
        )
    return call.caller


async def remember(call: CallContext, attributes: dict[str, object]) -> None:
    """Add attributes to the caller's profile."""
    index = {"pk1": "profile", "sk1": call.caller}
    await call.store.merge(call.caller, "profile", {**attributes, **index})


TOOLS: tuple[Tool, ...] = (save_name, save_use_case, save_email)
