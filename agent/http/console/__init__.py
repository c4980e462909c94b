"""The console: live calls of all processes for people who watch them and step in.

`live_feed` tells what one call does, `fleet` finds the process that runs it, `console_page` has the
routes. Nothing on the path of a call imports this folder.
"""
