"""Scenarios: what a caller does on one call, and what must be true of it afterwards.

A scenario is a file; `scenario_format` has its parts, `scenario_files` reads it to the types of
`scenario`. `scenario_player` plays one with `caller_script` on the simulator, and `expectations`
judges it.
Nothing here knows the service: what its table holds is asked through `ServiceFacts`.
"""
