"""Records of calls, kept so that they can be read and played again (`RECORD_CALLS`).

A record holds the callers' words and keys. It is off by default, expires, and is never logged.
"""
