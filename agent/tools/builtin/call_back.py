"""The tool that has a caller called back by a person, whom a receiver of events tells.

Without a receiver of `callback.requested` for the use case it is not offered: it would promise what
no person learns of. The call and the number distinguish a call back, so asking again adds none.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from agent.call.actions import PromiseCallBack
from agent.call.collector import Collector
from agent.call.messages import SideEffect
from agent.errors import StoreError, ToolError
from agent.tools.idempotency import IN_DOUBT
from agent.tools.tool import CallContext, Tool, WithEffect, tool
from agent.usecases.call_events import CallbackRequestedEvent

NOT_TAKEN = "Nothing was noted: no system takes call backs now. Say so; promise no call back."


@tool(
    "RequestCallBackFunction",
    side_effect=SideEffect.IDEMPOTENT,
    collects=Collector(min_digits=7, max_digits=15),
    needs=CallbackRequestedEvent.kind,
)
async def request_call_back(
    call: CallContext,
    topic: Annotated[
        str, Meta(description="What it is about, and a wished time, in a sentence.", max_length=500)
    ] = "",
) -> WithEffect:
    """Have the caller called back by a person.

    Use it alone, without words, when the caller wants to be called back. The caller hears that it
    is noted. If the number is withheld, it is asked for.
    """
    if not call.outbox.wants(CallbackRequestedEvent.kind, call.use_case):
        raise ToolError(NOT_TAKEN)
    event = CallbackRequestedEvent(
        call=call.call_id,
        use_case=call.use_case,
        caller=call.caller,
        number=call.digits or call.caller,
        topic=topic,
        language=call.language,
    )
    try:
        await call.outbox.tell(event, [event.number])
    except StoreError as error:
        raise ToolError(IN_DOUBT) from error
    return WithEffect({"message": "It is noted, and the caller was told so."}, PromiseCallBack())


TOOLS: tuple[Tool, ...] = (request_call_back,)
