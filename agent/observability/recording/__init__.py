"""Records of calls, kept so that they can be read and played again (`RECORD_CALLS`).

A record holds the callers' words, also keys as they were pressed. It is off unless it is asked for,
it expires, and nothing of it is logged.
"""
