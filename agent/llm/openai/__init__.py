"""Models behind chat completions: OpenAI itself, and the servers that imitate it.

request.py    PURE: a `ReplyRequest` → the body of a request
stream.py     PURE: chunks of a stream → pieces of a reply
faults.py     PURE: what the client raises → `ModelError`
runtime.py    the client and its connections: one per process
model.py      `ports.LanguageModel` over these
"""

from __future__ import annotations

from agent.llm.openai.model import OpenAIModel
from agent.llm.openai.runtime import OpenAIRuntime

__all__ = ["OpenAIModel", "OpenAIRuntime"]
