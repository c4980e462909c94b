"""What a caller has to confirm before it counts, such as an e-mail address that a model has heard.

A tool gives it to the model to be read back, and notes that in the partition of the call with the
position of the tool call among the facts. It is answered when the model has said something after
that position, and the caller has then used words or keys. Both positions come from the conversation
(`Standing`), so a model that reads back and confirms in one turn is refused, also in a call that
was resumed by another process. What the caller's words mean only the model knows.
"""

from __future__ import annotations

import msgspec

from agent.tools.context import CallContext

_NEVER = 1_000_000_000
"""Position of a note that has none: an older process wrote it."""
_KEPT_SECONDS = 24 * 60 * 60
"""As long as the other items of a call."""


class _Note(msgspec.Struct):
    position: int = _NEVER


async def give_to_read_back(call: CallContext, subject: str, content: str) -> None:
    """Note that this is given to the model to be read back; the first time counts.

    Args:
        call: In which the tool runs.
        subject: What kind of thing it is, from a closed list.
        content: The thing in its one form.
    """
    noted, position = await _position(call, subject, content), call.standing.position
    if noted is not None and noted <= position:
        return
    await call.store.put(
        {
            "pk": call.call_id,
            "sk": _key(subject, content),
            "position": position,
            "expireAt": int(call.clock()) + _KEPT_SECONDS,
        }
    )


async def is_answered(call: CallContext, subject: str, content: str) -> bool:
    """The caller has answered since this was given to be read back; arguments as above."""
    noted = await _position(call, subject, content)
    return noted is not None and noted < call.standing.answered


async def _position(call: CallContext, subject: str, content: str) -> int | None:
    item = await call.store.get(call.call_id, _key(subject, content))
    return None if item is None else msgspec.convert(item, _Note, strict=False).position


def _key(subject: str, content: str) -> str:
    return f"{subject}ReadBack::{content}"
