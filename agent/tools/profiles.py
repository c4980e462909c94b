"""Tools that remember something about the caller (seed section B4).

They set single attributes and leave all others (D21). A caller whose number is withheld cannot be
recognised when they ring again, so nothing is kept and the model is told why.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from agent.conversation.messages import SideEffect
from agent.ports import ToolError
from agent.tools.context import CallContext
from agent.tools.declare import Tool, tool


@tool(
    "DefaultSaveFirstAndLastName",
    side_effect=SideEffect.IDEMPOTENT,
    rename={"first_name": "firstName", "last_name": "lastName"},
)
async def save_name(
    call: CallContext,
    first_name: Annotated[str, Meta(description="Given name.", min_length=1, max_length=80)],
    last_name: Annotated[str, Meta(description="Family name.", min_length=1, max_length=80)],
) -> dict[str, str]:
    """Store the caller's name in their profile.

    Use it as soon as the caller has said both names; spell back a name you are not sure of first.
    """
    first, last = " ".join(first_name.split()), " ".join(last_name.split())
    if not (first and last):
        raise ToolError("Both names are needed. Ask the caller for the missing one.")
    attributes = {"firstName": first, "lastName": last}
    known = await call.store.get(_recognised(call), "profile") or {}
    if not known.get("useCase"):
        attributes["useCase"] = call.use_case
    await _remember(call, attributes)
    return {"message": f"The name {first} {last} is saved."}


@tool(
    "DefaultSaveUseCase",
    side_effect=SideEffect.IDEMPOTENT,
    rename={"use_case": "useCase"},
)
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
    await _remember(call, {"useCase": chosen[0]})
    return {
        "message": f"The choice {chosen[0]} is saved. Ask the caller to hang up and ring again."
    }


def _recognised(call: CallContext) -> str:
    if not call.is_caller_known:
        raise ToolError(
            "The caller's number is withheld, so nothing can be saved for their next call. "
            "Say so kindly and go on without it."
        )
    return call.caller


async def _remember(call: CallContext, attributes: dict[str, str]) -> None:
    index = {"pk1": "profile", "sk1": call.caller}
    await call.store.merge(call.caller, "profile", {**attributes, **index})


TOOLS: tuple[Tool, ...] = (save_name, save_use_case)
