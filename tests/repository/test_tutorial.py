"""A reader who follows the tutorial to the letter has a working agent in a folder of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from tests.waiting import HANG_SECONDS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-agent.md"
_BLOCK = re.compile(r"(?:`(~/[^`]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.needs("time")
def test_tutorial_leads_to_an_agent_that_works(tmp_path: Path) -> None:
    """Every file and command is the page's; only the two ports are free ones of this machine."""
    home, checkout = tmp_path / "home", tmp_path / "checkout"
    home.mkdir()
    checkout.mkdir()
    (checkout / "examples").symlink_to(ROOT / "examples")
    orders = str(unused_port())
    ready = f"until (echo > /dev/tcp/127.0.0.1/{orders}) 2> /dev/null; do :; done"
    page = PAGE.read_text().replace("8080", orders)
    page = page.replace("server.py &", f"server.py {orders} &\n{ready}")
    script, files = "set -e\ntrap 'kill $(jobs -p)' EXIT\n", 0
    for path, language, text in _BLOCK.findall(page):
        if path:
            files += 1
            script += f"cat > {path} <<'END_OF_FILE'\n{text}END_OF_FILE\n"
        elif language == "bash":
            script += text
    shell, serving = script.rsplit("python -m agent serve\n", 1)[0], "exec python -m agent serve\n"
    port = unused_port()
    environment = {
        "HOME": str(home), "PORT": str(port), "METRICS_PORT": "0", "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip

    with _running(shell + serving, checkout, environment) as process:
        output = _until_started(process)
        fields = b"CallSid=CA" + b"0" * 32 + b"&From=%2B15550100077&To=%2B15550100000"
        url = f"http://127.0.0.1:{port}/twiml"
        with urllib.request.urlopen(url, fields, HANG_SECONDS) as answer:
            twiml = answer.read().decode()

    assert files == 5
    assert "agent: We are open from nine to six." in output
    assert "agent: A bouquet of tulips is 12 dollars." in output
    assert "wrote flowerShop / configuration (version " in output
    assert 'welcomeGreeting="Hello, this is the flower shop. What can I do for you?"' in twiml


@contextmanager
def _running(
    script: str, folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 (the commands of our page)
        ["/bin/bash", "-c", script], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with the server in its background
        process.communicate()


def _until_started(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = list[str]()
    for line in process.stdout:
        lines.append(line)
        if "service.started" in line:
            return "".join(lines)
    raise AssertionError("".join(lines))
