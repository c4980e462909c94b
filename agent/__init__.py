"""A voice agent on Twilio ConversationRelay: one process, one actor per call."""

from pathlib import Path

__version__ = "0.1.0"

_INSTALLED = Path(__file__).parent / "configuration"
SHIPPED_CONFIGURATION = (
    _INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parents[1] / "configuration"
)
"""The shipped use cases, callers and prices: inside an installed package, beside a checkout."""
