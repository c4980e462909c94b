"""A voice agent on Twilio ConversationRelay: one process, one actor per call."""
