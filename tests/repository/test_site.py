"""The documentation site builds, and its generated pages agree with the code."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ZENSICAL = ROOT / ".tools" / "docs" / "bin" / "zensical"


def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Strict: a link or anchor that leads nowhere fails the build."""
    assert ZENSICAL.exists(), f"{ZENSICAL} is missing; tests/run.sh makes it"
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)

    run = subprocess.run(  # noqa: S603 (our own program)
        [ZENSICAL, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stdout
    assert "Voice agent" in (tmp_path / ".site" / "index.html").read_text()


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))

    assert listed == {
        str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")
    }


_SPEC = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
assert _SPEC is not None
assert _SPEC.loader is not None
_GENERATE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_GENERATE)


@pytest.mark.parametrize("name", sorted(_GENERATE.PAGES))
def test_reference_page_agrees_with_the_code(name: str) -> None:
    assert (ROOT / "docs" / "reference" / name).read_text() == _GENERATE.generated(name)
