"""One answer out of several models.

health.py    what this process has learned of each model, and what it can afford
route.py     who is asked next, after which fault
attempt.py   one request to one model
model.py     `ports.LanguageModel` over these: races, and the rules
"""

from __future__ import annotations

from agent.llm.failover.attempts import Candidate
from agent.llm.failover.circuit_breaker import HedgeBudget, ModelCircuit
from agent.llm.failover.failover_model import FailoverModel

__all__ = [
    "Candidate",
    "FailoverModel",
    "HedgeBudget",
    "ModelCircuit",
]
