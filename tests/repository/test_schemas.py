"""The JSON schemas of configuration files: every file here fits, and wrong ones do not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.repository.test_examples import module

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "configuration" / "schema"
STARTER = ROOT / "agent" / "cli" / "starter" / "use-case.toml"
FILES = sorted([
    *ROOT.glob("configuration/use-cases/*/use-case.toml"), *ROOT.glob("configuration/profiles/*"),
    *ROOT.glob("examples/*/use-case.toml"), *ROOT.glob("configuration/use-cases/*/scenarios/*"),
])  # fmt: skip
WHOLE = """
[desk]
kind = "dial"
to = "+15550100098"
[keypad.1]
reply_text = "One."
[http_tools.Look]
description = "Looks."
url = "https://api.example.com/{n}"
[http_tools.Look.parameters.n]
description = "A number."
type = "integer"
[phrases]
fillers = ["One moment."]
[[languages]]
code = "de-DE"
"""


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def first_fault(name: str, document: dict[str, Any]) -> str:
    error = jsonschema.exceptions.best_match(validator(name).iter_errors(document))
    return error.message if error else ""


def read(text: str, suffix: str = ".toml") -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text) if suffix == ".yaml" else tomllib.loads(text)
    return document


@pytest.mark.needs("linters")
def test_schemas_agree_with_the_types() -> None:
    generated = dict(module(ROOT / "docs" / "generate.py").outputs())

    for path in SCHEMAS.iterdir():
        assert path.read_text() == generated[path], path


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_file_names_its_schema_and_fits(path: Path) -> None:
    text = path.read_text()
    first, _, _ = text.partition("\n")
    named = first.removeprefix("#:schema ").removeprefix("# yaml-language-server: $schema=")
    schema = (path.parent / named).resolve()

    assert schema.parent == SCHEMAS
    assert first_fault(schema.name, read(text, path.suffix)) == ""


def test_file_of_new_and_a_file_with_every_table_fit() -> None:
    for text in (STARTER.read_text(), WHOLE):
        assert first_fault("use-case.schema.json", tomllib.loads(text)) == ""


@pytest.mark.parametrize(
    ("schema", "text", "fault"),
    [
        ("use-case", "titel = 'A'", "'titel' was unexpected"),
        ("use-case", "tools = 'A'", "is not of type 'array'"),
        ("use-case", "[relay]\nvoce = 'A'", "'voce' is not one of"),
        ("use-case", "[keypad.A]\nreply_text = 'A'", "'A' is not one of"),
        ("use-case", "[phrases]\nsorry = 'A'", "'sorry' does not match any"),
        ("use-case", "[phrases.es]\nsorry = 'A'", "'sorry' was unexpected"),
        ("use-case", "[model]\ntemperature = 2", "2 is greater than the maximum of 1"),
        ("use-case", "[desk]\nkind = 'fax'", "is not valid under any of the given schemas"),
        ("use-case", "[http_tools.Look]\nurl = 'A'", "'description' is a required property"),
        (
            "use-case",
            "[http_tools.L]\nurl = ''\ndescription = 'A'\nparameters.n.type = 'integer'",
            "'description' is a required property",
        ),
        ("profile", "first_name = 'Ada'", "'caller' is a required property"),
        ("profile", "caller = '+1'\nage = 1", "'age' was unexpected"),
        ("scenario", "about = 'A'", "'steps' is a required property"),
        ("scenario", "steps = [{shouts = 'A'}]", "'shouts' was unexpected"),
        ("scenario", "steps = [{says = {volume = 1}}]", "'volume' was unexpected"),
        ("scenario", "steps = [{waits = -1}]", "-1 is less than the minimum of 0"),
        ("scenario", "steps = []\nexpects.outcome = 'gone'", "'gone' is not one of"),
        ("scenario", "steps = []\ncaller.age = 1", "'age' was unexpected"),
    ],
)
def test_wrong_file_does_not_fit(schema: str, text: str, fault: str) -> None:
    assert fault in first_fault(f"{schema}.schema.json", tomllib.loads(text))
