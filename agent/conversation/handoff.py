"""What we tell ourselves through the carrier: the `handoffData` of an `end` message.

Twilio hands the text untouched to the `<Connect action>` URL, perhaps in another process. It is
signed with the request, but has travelled, so reading it never fails: what is not ours reads as no
reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

QUIET = "quiet"
"""Reason of a `SERVER_DRAIN` in a quiet moment."""
LONGEST_TEXT = 500
"""Characters of a reason or a summary; the relay's limit is not published."""


class ReasonCode(StrEnum):
    """Why the call was given back."""

    GOODBYE = "goodbye"
    LIVE_AGENT = "live-agent-handoff"
    SERVER_DRAIN = "server-drain"


@dataclass(frozen=True, slots=True)
class HandoffData:
    """Content of `handoffData`."""

    code: ReasonCode = ReasonCode.GOODBYE
    reason: str = ""
    summary: str = ""

    @property
    def was_quiet(self) -> bool:
        """The call was given up when nobody spoke and nothing was under way."""
        return self.reason == QUIET

    def render(self) -> str:
        """JSON text; empty texts are left out."""
        fields = {"reason": self.reason[:LONGEST_TEXT], "summary": self.summary[:LONGEST_TEXT]}
        kept = {name: text for name, text in fields.items() if text}
        return json.dumps({"reasonCode": self.code, **kept}, ensure_ascii=False)

    @classmethod
    def read(cls, text: str) -> HandoffData | None:
        """What `render` wrote; None for anything else."""
        try:
            fields = json.loads(text)
            code = ReasonCode(fields["reasonCode"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return cls(code, str(fields.get("reason", "")), str(fields.get("summary", "")))


GOODBYE = HandoffData()
"""Nothing to hand over: the call is simply over."""
