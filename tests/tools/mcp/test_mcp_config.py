"""The operator's list of MCP servers: read, or refused with one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent.call.messages import SideEffect
from agent.tools.mcp.mcp_config import McpFileError, McpServerConfig, read

URL = "https://crm.example.com/mcp"


def file_of(folder: Path, servers: object) -> Path:
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    return path


def test_servers_are_read_in_the_form_other_programs_use(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        {
            "crm": {"type": "http", "url": URL, "headers": {"Authorization": "Bearer ${KEY}"}},
            "my-stock": {
                "command": "stock",
                "args": ["--key", "${KEY}"],
                "env": {"KEY": "${KEY}"},
                "timeout": 3,
                "tools": ["find", "order"],
                "sideEffects": {"order": "once"},
                "readBack": {"order": ["what", "count"], "find": []},
            },
        },
    )

    servers, left_out = read(str(path), {"KEY": "k"})

    assert left_out == {}
    assert servers == {
        "crm": McpServerConfig(url=URL, headers={"Authorization": "Bearer k"}, type="http"),
        "my_stock": McpServerConfig(
            command="stock",
            args=["--key", "k"],
            env={"KEY": "k"},
            timeout=3.0,
            tools=["find", "order"],
            side_effects={"order": SideEffect.ONCE},
            read_back={"order": ["what", "count"], "find": []},
        ),
    }


def test_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"crm": {"url": URL}})
    path.write_text(path.read_text(), encoding="utf-8-sig")

    assert list(read(str(path), {})[0]) == ["crm"]


def test_example_of_the_readme_can_be_read(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[3] / "docs" / "build" / "mcp.md").read_text()
    (example,) = re.findall(r"```json\n(\{\"mcpServers\".*?)```", readme, re.DOTALL)
    path = tmp_path / "mcp.json"
    path.write_text(example)

    servers, left_out = read(str(path), {"CRM_TOKEN": "t", "STOCK_KEY": "k"})

    assert (list(servers), left_out) == (["crm", "stock"], {})


def test_server_without_its_secret_is_left_out_alone(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        {"crm": {"url": URL, "headers": {"A": "${ONE}", "B": "${TWO}"}}, "open": {"url": URL}},
    )

    servers, left_out = read(str(path), {"TWO": ""})

    assert list(servers) == ["open"]
    assert left_out == {"crm": "ONE, TWO is not set"}


@pytest.mark.parametrize(
    ("servers", "fault"),
    [
        ({"a": {"uri": URL}}, "unknown field `uri`"),
        ({"a": {}}, "'a': needs either url or command"),
        ({"a": {"url": URL, "command": "x"}}, "'a': needs either url or command"),
        ({"a": {"url": "ftp://example.com"}}, "'a': url must be https://host/path"),
        ({"a": {"url": "https://me:secret@example.com"}}, "'a': url must have no user name"),
        ({"a b": {"url": URL}}, "'a b': a name is 1-24"),
        ({"a__b": {"url": URL}}, "'a__b': a name is 1-24"),
        ({"a_": {"url": URL}}, "'a_': a name is 1-24"),
        ({"a" * 25: {"url": URL}}, "a name is 1-24"),
        ({"a-b": {"url": URL}, "a_b": {"url": URL}}, "'a_b': is named twice"),
        ({"a": {"url": URL, "timeout": 31}}, "<= 30"),
        ({"a": {"url": URL, "type": "sse"}}, "Invalid enum value 'sse'"),
        ({"a": {"url": URL, "sideEffects": {"x": "twice"}}}, "Invalid enum value 'twice'"),
        ({"a": {"url": URL, "tools": ["x"], "sideEffects": {"y": "once"}}}, "'y' is not in tools"),
        ({"a": {"url": URL, "tools": ["x"], "readBack": {"y": []}}}, "readBack: 'y' is not in"),
        (["a"], "Expected `object`"),
    ],
)
def test_fault_in_the_file_stops_the_start(tmp_path: Path, servers: object, fault: str) -> None:
    path = file_of(tmp_path, servers)

    with pytest.raises(McpFileError) as caught:
        read(str(path), {})

    assert str(caught.value).startswith(f"MCP_CONFIG: {path}: ")
    assert fault in str(caught.value)
    assert "secret" not in str(caught.value)


def test_file_that_is_not_there_or_not_json_stops_the_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")

    with pytest.raises(McpFileError, match=r"^MCP_CONFIG: .*No such file"):
        read(str(tmp_path / "none.json"), {})
    with pytest.raises(McpFileError, match=r"^MCP_CONFIG: .*broken\.json: "):
        read(str(broken), {})


def test_json_in_place_of_a_path_is_read_where_a_process_has_no_file() -> None:
    """In one line, as in an environment file of ECS, which keeps quotation marks."""
    listed = '{"mcpServers": {"crm": {"url": "https://crm.example.com/mcp", "timeout": 5}}}'

    servers, left_out = read(listed, {})

    assert (servers, left_out) == ({"crm": McpServerConfig(url=URL, timeout=5.0)}, {})


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ('{"mcpServers": {"a": {"url": "https://me:secret@h"}}}',
         "MCP_CONFIG: the JSON: 'a': url must have no user name; use headers"),
        ('{"mcpServers": {"a": {"uri": "secret"}}}',
         "MCP_CONFIG: the JSON: Object contains unknown field `uri` - at `$.mcpServers[...]`"),
        (' {"mcpServers": {"a": "secret',
         "MCP_CONFIG: the JSON: Input data was truncated"),
    ],
)  # fmt: skip
def test_fault_in_the_json_is_one_line_without_the_json(listed: str, message: str) -> None:
    with pytest.raises(McpFileError) as caught:
        read(listed, {})

    assert str(caught.value) == message
