"""apartments."""
