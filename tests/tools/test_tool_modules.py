"""Python tools of a configuration folder and of installed packages."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.errors import UseCaseError
from agent.tools import TOOLS, CallContext, load_tools

Write = Callable[[str, str], Path]

HEAD = """from typing import Annotated
from msgspec import Meta, Struct
from agent.call.messages import SideEffect
from agent.tools import CallContext, tool

"""
ONE = """
@tool("{name}")
async def one(call: CallContext) -> dict[str, str]:
    "{doc}"
    {body}
TOOLS = [one]
"""
CALL = cast(CallContext, SimpleNamespace())


def source(
    name: str = "OneFunction", doc: str = "Does it.", body: str = "return {'a': '1'}"
) -> str:
    return HEAD + ONE.format(name=name, doc=doc, body=body)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "tools").mkdir()

    def write(name: str, text: str) -> Path:
        path = tmp_path / "tools" / name
        path.write_text(text)
        return path

    return write


async def result_of(folder: Path) -> Any:
    """What the only tool of a folder returns."""
    [mine] = load_tools(folder)[len(TOOLS) :]
    return await mine.function(CALL, mine.arguments())


def test_without_a_folder_only_the_built_in_tools_are_there(tmp_path: Path) -> None:
    assert load_tools(tmp_path) == TOOLS


async def test_tools_of_every_file_are_loaded(tmp_path: Path, write: Write) -> None:
    """With types that the file declares under postponed annotations."""
    typed = "from __future__ import annotations\n" + HEAD + (
        "class Part(Struct):\n    size: Annotated[int, Meta(description='Size.')]\n"
        "@tool('PartFunction', side_effect=SideEffect.ONCE)\n"
        "async def part(call: CallContext,"
        " part: Annotated[Part, Meta(description='Part.')]) -> None:\n"
        "    'Takes a part.'\nTOOLS = (part,)\n"
    )  # fmt: skip
    write("b.py", typed)
    write("a.py", source())

    found = load_tools(tmp_path)

    assert [tool.spec.name for tool in found[len(TOOLS) :]] == ["OneFunction", "PartFunction"]
    assert (found[-1].spec.side_effect, '"size"' in found[-1].spec.parameters) == ("once", True)


async def test_saved_edit_of_the_same_size_and_second_is_loaded(
    tmp_path: Path, write: Write
) -> None:
    path = write("a.py", source(body="return {'a': '1'}"))
    os.utime(path, (1, 1))
    before = await result_of(tmp_path)
    os.utime(write("a.py", source(body="return {'a': '2'}")), (1, 1))

    assert (before, await result_of(tmp_path)) == ({"a": "1"}, {"a": "2"})
    assert [path.name for path in (tmp_path / "tools").iterdir()] == ["a.py"]


async def test_traceback_of_a_tool_shows_its_file(tmp_path: Path, write: Write) -> None:
    path = write("a.py", source(body="raise RuntimeError('no')"))

    with pytest.raises(RuntimeError) as caught:
        await result_of(tmp_path)

    frame = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (frame.filename, frame.line) == (str(path), "raise RuntimeError('no')")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("def", "line 1: SyntaxError: invalid syntax"),
        ("\0", "source code string cannot contain null bytes"),
        (
            "\nimport no_such_module",
            "line 2: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("raise SystemExit(3)", "line 1: SystemExit: 3"),
        ("pass", "TOOLS must be a list of functions with @tool"),
        ("TOOLS = [print]", "TOOLS must be a list of functions with @tool"),
        (source("End Call"), "line 7: ValueError: 'End Call' is not a tool name"),
        (source(doc=""), "line 7: TypeError: OneFunction: the docstring is what the model reads"),
        (source("EndCallFunction"), "EndCallFunction: the service has a tool of this name"),
        (source("shop__open"), "shop__open: two underscores are for tools of MCP servers"),
    ],
)
def test_wrong_file_is_one_line(tmp_path: Path, write: Write, text: str, fault: str) -> None:
    """With its path; and every wrong file has one."""
    path, other = write("a.py", text), write("b.py", "TOOLS = 3")

    with pytest.raises(UseCaseError) as caught:
        load_tools(tmp_path)

    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{path}: ")
    assert fault in first
    assert second == f"{other}: TOOLS must be a list of functions with @tool"


def test_name_is_used_by_one_file_only(tmp_path: Path, write: Write) -> None:
    first, second = write("a.py", source()), write("b.py", source())

    with pytest.raises(UseCaseError) as caught:
        load_tools(tmp_path)

    assert str(caught.value) == f"{second}: OneFunction: {first} has a tool of this name"


def test_installed_package_offers_its_tools(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an entry point; its fault is one line as well."""
    site = tmp_path / "site"
    information = site / "shop-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Name: shop\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[voice_agent.tools]\nshop = shop_tools_of_test\n"
    )
    (site / "shop_tools_of_test.py").write_text(source("ShopFunction"))
    monkeypatch.syspath_prepend(site)

    assert [tool.spec.name for tool in load_tools(tmp_path)[len(TOOLS) :]] == ["ShopFunction"]

    (information / "entry_points.txt").write_text("[voice_agent.tools]\nshop = no_such_module\n")
    with pytest.raises(UseCaseError, match=r"^entry point shop \(no_such_module\): ModuleNotFound"):
        load_tools(tmp_path)
