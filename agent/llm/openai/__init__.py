"""Models behind chat completions: OpenAI itself, and the servers that imitate it.

request.py    PURE: a `ReplyRequest` → the body of a request
events.py     PURE: bytes of an answer → the JSON values in it
arguments.py  PURE: what a server sends as arguments → JSON of an object
calls.py      PURE: fragments of tool calls → the calls
stream.py     PURE: bytes of an answer → pieces of a reply
faults.py     PURE: what the client raises → `ModelError`
runtime.py    the client and its connections: one per process
model.py      `ports.LanguageModel` over these
"""

from __future__ import annotations

from agent.llm.openai.chat_model import OpenAIClient, OpenAIModel

__all__ = ["OpenAIClient", "OpenAIModel"]
