"""How long the event loop is held by the worst inputs we know, at the limits of the wire.

    python benchmarks/worst_inputs.py [--only TEXT] [--json FILE]

Prints the milliseconds of each row of `tests/worst_inputs.py`, the slowest last, and exits with 1
if one of them takes longer than 20 ms. That is processor time, and the shortest of three runs,
because the machine has other work.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.worst_inputs import Row, rows

LIMIT_MS = 20.0
_RUNS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 if a row is too slow."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    measured = {row.name: milliseconds(row) for row in rows() if options.only in row.name}
    for name, taken in sorted(measured.items(), key=lambda item: item[1]):
        mark = "  over the limit" if taken > LIMIT_MS else ""
        sys.stdout.write(f"{taken:9.2f} ms  {name}{mark}\n")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1), encoding="utf-8")
    return int(any(taken > LIMIT_MS for taken in measured.values()))


def milliseconds(row: Row) -> float:
    """The shortest of a few runs at the full size."""
    taken = []
    for _ in range(_RUNS):
        work = row.prepare(row.size)
        begin = time.thread_time()
        work()
        taken.append(time.thread_time() - begin)
    return 1000 * min(taken)


if __name__ == "__main__":
    raise SystemExit(main())
