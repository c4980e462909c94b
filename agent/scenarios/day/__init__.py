"""The scripted day: generated callers whose manner of speaking is hard on turn-taking.

`call_grammar` generates the calls of a seed, `day_caller` plays one on a server and notes what was
heard when, `day_table` counts. All of it is on the caller's side of the line: nothing asks the
server what it has decided.
"""
