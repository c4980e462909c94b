"""The decisions of one call: events in, actions out.

Nothing in this package awaits, reads a clock or does I/O, so that each race between caller, model,
tools and timers can be written down as a list of events.
"""
