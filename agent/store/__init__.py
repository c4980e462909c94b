"""The table behind `ports.Store`, and what it holds."""
