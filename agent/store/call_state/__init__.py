"""What the table holds of a call: its session item, its facts, and the journal that writes them."""
