"""call_state."""
