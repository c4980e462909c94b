"""The decisions of one call: events in, actions out; no I/O and no clock.

Each race between caller, model, tools and timers can be written down as a list of events.
"""
