"""Prometheus' own checker, which is installed with it."""

from __future__ import annotations

import shutil
import subprocess


def program(name: str) -> str:
    """Where one of Prometheus' programs is; fails if it is nowhere."""
    found = shutil.which(name)
    assert found, f"{name} is not installed; tests/run.sh would (apt-get install prometheus)"
    return found


def promtool(*arguments: object) -> str:
    """What it says of files that are right; fails with what it says of others."""
    command = [program("promtool"), *map(str, arguments)]
    run = subprocess.run(  # noqa: S603 (Prometheus' program and our own files)
        command, capture_output=True, text=True, check=False
    )
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    return said
