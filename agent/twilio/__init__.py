"""The wire between Twilio ConversationRelay and the conversation: pure translation."""
