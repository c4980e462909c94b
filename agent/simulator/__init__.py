"""Twilio's side of a call: a caller on a machine, for tests, scenarios and load.

It works against any server of ConversationRelay and imports nothing of this service. The rules are
those of `docs/reference/relay.md`. `relay_session` is pure: frames and seconds in, frames out.
`carrier` and `simulated_call` do the I/O.
"""
