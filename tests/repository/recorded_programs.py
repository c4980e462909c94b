"""Programs that write down how a script called them, in place of `aws`, `docker` and the like."""

from __future__ import annotations

import os
import shlex
from pathlib import Path


class RecordedPrograms:
    """Programs of these names in a folder of `home`; each succeeds and says nothing until told."""

    def __init__(self, home: Path, *names: str) -> None:
        self._bin, self._calls = home / "bin", home / "calls"
        self._bin.mkdir()
        for name in names:
            self.answer(name)

    @property
    def path(self) -> str:
        """The variable PATH that finds them first."""
        return f"{self._bin}:{os.environ['PATH']}"

    @property
    def calls(self) -> list[list[str]]:
        """How they were called, each call in one write."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [shlex.split(line) for line in lines]

    def answer(self, program: str, **cases: str) -> None:
        """Let a program answer, by a word that is in the call, with a piece of shell."""
        self.answer_calls(
            program, {f" {word.replace('_', '-')} ": code for word, code in cases.items()}
        )

    def answer_calls(self, program: str, cases: dict[str, str]) -> None:
        """The same, by a part of the call; the first part that is in it."""
        cased = "".join(f"*{shlex.quote(part)}*) {code} ;;\n" for part, code in cases.items())
        script = self._bin / program
        script.write_text(
            "#!/usr/bin/env bash\n"
            f'printf -v call " %q" "$@"; echo "{program}$call" >>{self._calls}\n'
            f'case " $* " in\n{cased}esac\n'
        )
        script.chmod(0o755)
