"""A voice agent on Twilio ConversationRelay: one process, one actor per call."""

__version__ = "0.1.0"
