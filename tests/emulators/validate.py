"""What Bedrock would refuse a ConverseStream request for (practice section 8).

`faults` takes the decoded body and the model id and returns every reason, in Bedrock's words where
they are known. A body whose shape is wrong is only told that: the other rules read a sound shape.

Stricter than the service on purpose, because portable requests never need it: a trailing assistant
message is refused for every model (older ones take it as the beginning of their answer); so are
blank text in a tool result, `$defs` in a tool's schema, reasoning sent to a family that signs none
and unknown top-level fields.
"""

from __future__ import annotations

from tests.emulators.converse import Asked, Json, shape_faults
from tests.emulators.families import family
from tests.emulators.validate_messages import MESSAGE_RULES
from tests.emulators.validate_options import OPTION_RULES


def faults(body: Json, model_id: str) -> list[str]:
    """Why Bedrock would refuse this request; nothing when it would not."""
    broken = list(shape_faults(body))
    if broken:
        return broken
    asked = Asked(body, family(model_id))
    return [fault for rule in (*MESSAGE_RULES, *OPTION_RULES) for fault in rule(asked)]
