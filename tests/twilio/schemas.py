"""The frames from Twilio as JSON Schema (`docs/reference/relay.md`), by `type`.

The schemas are closed: a key that is not documented is an error. So they are stricter than the
parser, and independent of the structs in `agent.twilio`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from jsonschema import Draft202012Validator

Schema = Mapping[str, object]

_TEXT: Schema = {"type": "string"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_FLAG: Schema = {"type": "boolean"}
_NUMBER: Schema = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+$"}]
}


def _frame(kind: str, *, required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"type": {"const": kind}, **properties},
        "required": ["type", *required],
        "additionalProperties": False,
    }


def _info(name: str, value: Schema) -> Schema:
    return _frame(
        "info",
        required=("name", "value"),
        name={"const": name},
        value=value,
        ts={"type": ["integer", "string"]},
    )


_SPEAKING: Schema = {"enum": ["on", "off", "start", "stop"]}

INBOUND: dict[str, Schema] = {
    "setup": _frame(
        "setup",
        required=("sessionId", "accountSid", "callSid", "from", "to", "direction"),
        sessionId={"type": "string", "minLength": 1},
        accountSid={"type": "string", "minLength": 1},
        callSid={"type": "string", "minLength": 1},
        parentCallSid=_MAYBE_TEXT,
        applicationSid=_MAYBE_TEXT,
        **{"from": _TEXT},
        to=_TEXT,
        forwardedFrom=_MAYBE_TEXT,
        callerName=_MAYBE_TEXT,
        callType=_MAYBE_TEXT,
        direction=_TEXT,
        callStatus=_MAYBE_TEXT,
        customParameters={"type": ["object", "null"], "additionalProperties": _TEXT},
    ),
    "prompt": _frame(
        "prompt",
        required=("voicePrompt",),
        voicePrompt=_TEXT,
        lang=_MAYBE_TEXT,
        last=_FLAG,
        agentSpeaking=_MAYBE_TEXT,
    ),
    "dtmf": _frame("dtmf", required=("digit",), digit={"type": "string", "pattern": "^[0-9*#]$"}),
    "interrupt": _frame(
        "interrupt", utteranceUntilInterrupt=_MAYBE_TEXT, durationUntilInterruptMs=_NUMBER
    ),
    "error": _frame("error", description=_TEXT, code=_NUMBER, errorCode=_NUMBER),
    "info": {
        "oneOf": [
            _info("agentSpeaking", _SPEAKING),
            _info("clientSpeaking", _SPEAKING),
            _info("tokensPlayed", _TEXT),
            _info("roundTripDelayMs", _NUMBER),
            _info("configUpdated", {}),
        ]
    },
}


def check_inbound(text: str) -> None:
    """Raise `jsonschema.ValidationError` unless the relay could have sent this frame."""
    frame = json.loads(text)
    known: Schema = {"type": "object", "properties": {"type": {"enum": sorted(INBOUND)}}}
    Draft202012Validator({**known, "required": ["type"]}).validate(frame)
    Draft202012Validator(INBOUND[frame["type"]]).validate(frame)
