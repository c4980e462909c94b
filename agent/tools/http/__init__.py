"""Tools that are configuration: a use case describes an HTTP request, and no code is written.

fill.py         PURE: arguments and facts of the call → a request
answer.py       PURE: what came back → what the model is told
circuit.py      whether a host is worth asking at the moment
offer.py        PURE: whether a tool can be used in this process
connection.py   the one way out: guarded addresses, limits of time and size
requests.py     a declaration → a `Tool`: repetition, the ledger, words for the model
"""

from __future__ import annotations

from agent.tools.http.http_tools import HttpTools, fault_of
from agent.tools.http.outbound_http import OutboundHttp

__all__ = ["HttpTools", "OutboundHttp", "fault_of"]
