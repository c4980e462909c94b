"""Lets servers die and lose what they need under calls, and prints what became of the calls.

    python benchmarks/survival.py SCENARIO [--calls N]

SCENARIO is the name of a function of `tests/survival/scenarios.py`, or `all`. Two servers, HAProxy
and a DynamoDB are started for each; Twilio and the model are played. Waits are measured at the
client, on the machine that also runs everything else.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from tests import dynamodb as engines
from tests.survival.scenarios import FULL, Place


def main() -> None:
    """Run one scenario, or all."""
    parser = argparse.ArgumentParser(description="Let servers die under calls.")
    parser.add_argument("scenario", choices=[*FULL, "all"])
    parser.add_argument("--calls", type=int, default=100)
    arguments = parser.parse_args()
    names = list(FULL) if arguments.scenario == "all" else [arguments.scenario]
    with engines.running() as engine:
        print(f"DynamoDB: {engine.description}")
        for name in names:
            table = engine.create_table()
            os.environ.update(engines.environment(table, engine.url))
            with TemporaryDirectory() as folder:
                place = Place(Path(folder), engine, table, arguments.calls)
                outcome = asyncio.run(FULL[name](place))
            print("\n  ".join(["", name, *outcome.rows()]))
            engine.delete_table(table)


if __name__ == "__main__":
    main()
