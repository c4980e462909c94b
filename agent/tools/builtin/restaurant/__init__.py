"""restaurant."""
