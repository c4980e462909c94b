"""The request to the customer's system before a call is answered (`[before_call]`).

It is made while the voice webhook is answered, within the seconds of the use case. A system that is
late, fails or answers garbage leaves the defaults: the call is always answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from agent.errors import ToolError
from agent.ports import Count
from agent.store.call_state import call_item
from agent.tools import ToolRegistry
from agent.tools.http.http_messages import UnreadableError
from agent.usecases import UseCase
from agent.usecases.call_variables import filled_variables

_TICK_SECONDS = 0.05
"""The tool has the same limit, and may notice it first."""
log = structlog.get_logger(__name__)


async def variables_of_call(
    use_case: UseCase, webhook: Mapping[str, object], tools: ToolRegistry, count: Count
) -> Mapping[str, str]:
    """The variables of a call that rings; asks the customer's system. Never raises.

    Args:
        use_case: Of the call.
        webhook: The item of the call, with the variables it was asked for with.
        tools: Sends the request.
        count: Counts what came of it.
    """
    given = call_item.variables_of(webhook)
    if use_case.before_call is None:
        return filled_variables(use_case.variables, given)
    facts = {
        "call.caller": call_item.identity_of(webhook),
        "call.called": call_item.our_number(webhook),
        "call.id": str(webhook.get("CallSid", "")),
        "call.use_case": use_case.name,
    }
    known = {name: value for name, value in facts.items() if value}
    loop, seconds = asyncio.get_running_loop(), use_case.before_call.timeout
    began = loop.time()
    found, outcome = dict[str, object](), "failed"
    try:
        async with asyncio.timeout(seconds):
            found = await tools.look(use_case.before_call, known)
        usable = filled_variables(dict.fromkeys(use_case.variables, ""), found)
        outcome = "ok" if any(usable.values()) else "unusable"
    except TimeoutError:
        outcome = "late"
    except ToolError as error:
        is_late = loop.time() - began > seconds - _TICK_SECONDS
        is_garbage = isinstance(error.__cause__, UnreadableError)
        outcome = "unusable" if is_garbage else "late" if is_late else "failed"
    except Exception:  # the call is answered, whatever happens here
        log.exception("before_call.crashed", use_case=use_case.name)
    if outcome != "ok":
        log.warning("before_call.failed", use_case=use_case.name, outcome=outcome)
    count("agent_before_call_total", use_case=use_case.name, outcome=outcome)
    return filled_variables(use_case.variables, given, found)
