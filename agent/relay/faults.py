"""What to do about a relay session that failed, by the carrier's error code.

Relay reference section 5. A code that is not known is taken for trouble of the line: a new one
costs a second, and the number of new lines is bounded.
"""

from __future__ import annotations

from enum import StrEnum


class Remedy(StrEnum):
    """What follows."""

    NEW_LINE = "new_line"
    """The same once more."""
    PLAIN_LINE = "plain_line"
    """The relay refused our settings: once more without those of voice and recognition."""
    OTHERS = "others"
    """The relay is not to be had: somebody else, or an apology."""
    NONE = "none"
    """Nobody is there to be helped."""


_REMEDIES = {
    64101: Remedy.PLAIN_LINE,  # invalid parameter
    64106: Remedy.PLAIN_LINE,  # a combination that the provider refused
    64109: Remedy.OTHERS,  # too many sessions in this account
    64110: Remedy.OTHERS,  # the account may not use the relay
    64104: Remedy.OTHERS,  # the longest call
    64108: Remedy.NONE,  # no audio any more: the call is gone
}

VOICE_ATTRIBUTES = frozenset(
    {
        "ttsProvider", "voice", "transcriptionProvider", "speechModel", "eotThreshold",
        "eagerEotThreshold", "speechTimeout", "elevenlabsTextNormalization",
        "ttsTextNormalization", "ttsLanguageTextNormalization", "deepgramSmartFormat",
        "asrSmartFormat", "turnDetection", "intelligenceService", "backgroundNoiseReduction",
    }
)  # fmt: skip
"""What a plain line does without: the carrier's defaults go together."""


def remedy(error_code: int) -> Remedy:
    """What to do about a session that failed with this code; 0 = none was given."""
    return _REMEDIES.get(error_code, Remedy.NEW_LINE)
