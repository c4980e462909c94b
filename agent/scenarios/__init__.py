"""Scenarios: what a caller does on one call, and what must be true of it afterwards.

A scenario is a file; `scenario` has its types, `scenario_files` reads it. `caller_script` plays it
on the simulator, `expectations` judges, `suite` plays many under several timings and counts.
Nothing here knows the service: what its table holds is asked through `ServiceFacts`.
"""
