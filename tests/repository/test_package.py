"""The project as an installed package."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from agent import __version__

ROOT = Path(__file__).parents[2]


@pytest.mark.needs("time")
def test_installed_package_runs_its_command_away_from_the_checkout(tmp_path: Path) -> None:
    """Built by the locked backend, without an index; dependencies are those of this environment."""
    wheels = tmp_path / "wheels"
    _run(
        sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation",
        "--disable-pip-version-check", "--quiet", "--wheel-dir", str(wheels), str(ROOT),
    )  # fmt: skip
    [wheel] = wheels.iterdir()
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    installed = tmp_path / "venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    _run(
        sys.executable, "-m", "pip", "--python", str(tmp_path / "venv"), "install", "--no-index",
        "--no-deps", "--disable-pip-version-check", "--quiet", str(wheel),
    )  # fmt: skip
    ours = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (installed / "dependencies.pth").write_text(f"{ours}\n")
    command = str(tmp_path / "venv" / "bin" / "voice-agent")

    talked = _run(command, "talk", cwd=tmp_path, typed="two large Lighthouse pizzas please\n")

    assert f"voice_agent-{__version__}-" in wheel.name
    assert "agent: Got it, 2 large Lighthouse pizzas." in talked
    assert "voice-agent show CA" in talked
    assert "use cases: albertEinsteinUseCase, " in _run(command, "check", cwd=tmp_path)
    assert "use-case mine" in _run(command, "new", "mine", cwd=tmp_path)
    assert "use cases: mine\n" in _run(command, "check", "--config", "mine", cwd=tmp_path)
    assert (tmp_path / "mine" / "schema" / "use-case.schema.json").exists()
    assert (installed / "agent" / "py.typed").exists()


def _run(*command: str, cwd: Path | None = None, typed: str = "") -> str:
    run = subprocess.run(  # noqa: S603 (our own commands)
        command, cwd=cwd, env={"PATH": os.environ["PATH"]}, input=typed, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout
