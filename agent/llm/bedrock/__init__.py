"""Models of Amazon Bedrock over ConverseStream.

families.py   what each family of models accepts: one table
request.py    PURE: a `ReplyRequest` → the body of a request
stream.py     PURE: bytes of an event stream → pieces of a reply
faults.py     PURE: what Bedrock answers instead → `ModelError`
runtime.py    credentials, endpoint, connections: one per process
model.py      `ports.LanguageModel` over these
"""

from __future__ import annotations

from agent.llm.bedrock.bedrock_client import BedrockClient
from agent.llm.bedrock.bedrock_model import BedrockModel
from agent.llm.timeouts import TimeLimits

__all__ = ["BedrockClient", "BedrockModel", "TimeLimits"]
