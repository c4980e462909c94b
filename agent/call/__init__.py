"""The pure middle: what is said, decided and remembered in one call.

Nothing here waits, looks at a clock or talks to anything. Values go in, values come out, so that
each race between caller, model, tools and timers can be written down as a list of events.
"""
