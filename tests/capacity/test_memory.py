"""What a process gives back, seen from outside: the size that the system counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HOLES = """
import sys
from pathlib import Path
from agent.capacity.load_shedding import trim_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

blocks = [bytearray(1000) for _ in range(100_000)]
del blocks[:-1]  # the last one keeps all that is below it from being given back
before = resident()
trim_memory()
print(before - resident())
"""
_HELD_BYTES = 100_000 * 1000


def test_memory_between_what_is_used_goes_back() -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _HOLES],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout) > 0.9 * _HELD_BYTES
