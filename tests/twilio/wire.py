"""What Twilio accepts on the relay socket: JSON Schemas of every outbound frame.

Written from the protocol reference (section 2) and not from the service's own frame types, so that
a fault there cannot excuse itself. The schemas are closed: Twilio ignores an unknown field, but a
field we did not mean to send is a fault of ours. `config`, `hints` and the wider `language` message
are left out because their JSON is not known.
"""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

_BOOLEAN = {"type": "boolean"}
_LANGUAGE = {"type": "string", "pattern": r"^([A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*|multi)$"}

_FIELDS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "text": (
        {
            "token": {"type": "string"},
            "last": _BOOLEAN,
            "lang": _LANGUAGE,
            "interruptible": _BOOLEAN,
            "preemptible": _BOOLEAN,
        },
        ["token"],
    ),
    "play": (
        {
            "source": {"type": "string", "pattern": r"^https?://\S+$"},
            "loop": {"type": "integer", "minimum": 0},
            "interruptible": _BOOLEAN,
            "preemptible": _BOOLEAN,
        },
        ["source"],
    ),
    "sendDigits": ({"digits": {"type": "string", "pattern": r"^[0-9w#*]+$"}}, ["digits"]),
    "language": ({"ttsLanguage": _LANGUAGE, "transcriptionLanguage": _LANGUAGE}, []),
    "end": ({"handoffData": {"type": "string"}}, []),
}


def _schema(kind: str) -> dict[str, Any]:
    properties, required = _FIELDS[kind]
    return {
        "type": "object",
        "properties": {"type": {"const": kind}, **properties},
        "required": ["type", *required],
        "minProperties": 2 if kind == "language" else 1,
        "additionalProperties": False,
    }


_VALIDATORS = {kind: Draft202012Validator(_schema(kind)) for kind in _FIELDS}
_ANY = Draft202012Validator(
    {"type": "object", "properties": {"type": {"enum": [*_FIELDS]}}, "required": ["type"]}
)


def check_outbound(text: str) -> None:
    """Raise `jsonschema.ValidationError` unless Twilio would accept this frame."""
    frame = json.loads(text)
    _ANY.validate(frame)
    _VALIDATORS[frame["type"]].validate(frame)
