"""Scenario files: variables and variants, what is wrong in them, and where."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from agent.scenarios.scenario import (
    CallerIdentity,
    Hears,
    Interrupts,
    ItemExpectation,
    LosesLine,
    Presses,
    Says,
    ScenarioError,
    Waits,
)
from agent.scenarios.scenario_files import read_file, read_folder
from tests.scenarios.conftest import Play
from tests.shipped import CONFIGURATION, PROFILES

EVERYTHING = """
about: Everything that a file may hold.
use_case: shop
caller: {number: "+15550100009", profile: {firstName: Ada}}
variables: {size: small, total: 9.5}
items: [{pk: shop, sk: menu}]
replies: [[Hello., {tool: Order, arguments: {size: "{size}"}}]]
tags: [facts]
steps:
  - says: a {size} pizza
  - says: {fragments: [one, two], pause: 1}
  - interrupts: {words: stop, after_words: 3}
  - presses: {keys: "12#", waits: false}
  - hears: {pattern: pizza, within: 2}
  - waits: 4
  - loses_line: "39001"
expects:
  numbers: ["{total}", 2]
  profile: {firstName: Ada}
  table: [{pk: "{number}", sk: order, where: {total: "{total}"}}]
"""


def written(folder: Path, text: str, name: str = "one.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_file_becomes_a_scenario_with_its_variables_filled_in(tmp_path: Path) -> None:
    [scenario] = read_file(written(tmp_path, EVERYTHING))

    assert scenario.steps == (
        Says("a small pizza"),
        Says("one two", ("one", "two"), pause=1),
        Interrupts("stop", 3),
        Presses("12#", waits=False),
        Hears("pizza", 2),
        Waits(4),
        LosesLine("39001"),
    )
    assert scenario.expects.numbers == (9.5, 2.0)
    assert scenario.expects.table == (
        ItemExpectation("+15550100009", "order", where={"total": 9.5}),
        ItemExpectation("+15550100009", "profile", where={"firstName": "Ada"}),
    )
    assert list(scenario.replies) == [
        ["Hello.", {"tool": "Order", "arguments": {"size": "small"}}],
    ]
    assert list(scenario.items) == [
        {"pk": "shop", "sk": "menu"},
        {"pk": "+15550100009", "sk": "profile", "useCase": "shop", "firstName": "Ada"},
    ]
    assert (scenario.name, scenario.variant, sorted(scenario.tags)) == ("one", "", ["facts"])


def test_each_variant_is_a_scenario_and_keeps_types(tmp_path: Path) -> None:
    text = EVERYTHING + "variants: [{size: large, total: 12}, {total: 1.5}]"

    large, other = read_file(written(tmp_path, text))

    assert (large.variant, other.variant) == ("large, 12", "1.5")
    assert (large.steps[0], other.steps[0]) == (Says("a large pizza"), Says("a small pizza"))
    assert (large.expects.numbers[0], other.expects.numbers[0]) == (12, 1.5)


def test_caller_without_a_number_and_a_profile_is_a_stranger(tmp_path: Path) -> None:
    [scenario] = read_file(written(tmp_path, "steps: [{says: hello}]"))
    known = {tomllib.loads(path.read_text(encoding="utf-8"))["caller"] for path in PROFILES}

    assert scenario.caller == CallerIdentity()
    assert scenario.caller.number not in known


def test_braces_that_hold_no_name_and_doubled_ones_are_text(tmp_path: Path) -> None:
    text = r"""
variables: {keys: "12"}
steps: [{says: "{{keys}} {keys} {}"}, {presses: "{keys}#"}]
expects: {said: ['\d{2,3}', '{{{keys}}}', '{"a": {"b": 1}}']}
"""

    [scenario] = read_file(written(tmp_path, text))

    assert scenario.steps == (Says("{keys} 12 {}"), Presses("12#"))
    assert scenario.expects.said == (r"\d{2,3}", "{{keys}}", '{"a": {"b": 1}}')


def test_use_case_is_that_of_the_folder(tmp_path: Path) -> None:
    text = "steps: [{says: hi}]"
    written(tmp_path, text, "use-cases/shop/scenarios/hi.yaml")
    written(tmp_path, text, "use-cases/bank/scenarios/hi.yaml")

    assert [each.use_case for each in read_folder(tmp_path)] == ["bank", "shop"]
    assert [each.use_case for each in read_folder(tmp_path / "use-cases" / "shop")] == ["shop"]
    assert [each.use_case for each in read_folder(tmp_path, "bank")] == ["bank"]


def test_word_is_looked_for_in_use_case_file_variant_and_tags_only(tmp_path: Path) -> None:
    text = "steps: [{says: hi}]\nvariables: {a: 1}\n"
    folder = tmp_path / "my-day" / "use-cases" / "shop" / "scenarios"
    written(folder, text + "variants: [{a: late}, {a: early}]\ntags: [fast]", "greets.yaml")
    written(folder, text, "other.yaml")

    def found(word: str) -> list[str]:
        return [f"{each.name} {each.variant}".strip() for each in read_folder(tmp_path, word)]

    assert found("shop") == ["greets late", "greets early", "other"]
    assert found("gree") == found("fast") == ["greets late", "greets early"]
    assert found("ear") == ["greets early"]
    for word in ("my-day", "use-cases", "fas"):
        with pytest.raises(ScenarioError, match=f"has no scenario with '{word}'"):
            found(word)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("about: a\nsteps: [a", "line 2: expected ',' or ']'"),
        ("about: nothing", "missing required field `steps`"),
        ("steps: [{says: a, hears: b}]", "step 1: has says and hears, not one thing"),
        ("steps: [{says: a}, {}]", "step 2: has nothing, not one thing"),
        ("steps: [{shouts: a}]", "unknown field `shouts` - at `$.steps[0]`"),
        ("steps: [{says: {words: a, volume: 3}}]", "unknown field `volume`"),
        ("steps: [{waits: -1}]", "at `$.steps[0].waits`"),
        ("steps: [{presses: {keys: a}}]", "at `$.steps[0].presses.keys`"),
        ("steps: [{hears: '('}]", "'(' is no regular expression"),
        ("steps: []\nexpects: {said: ['*']}", "'*' is no regular expression"),
        ("steps: []\nexpects: {outcome: gone}", "Invalid enum value 'gone'"),
        ("steps: []\nexpects: {messages: [{channel: fax, to: a}]}", "Invalid enum value 'fax'"),
        ("steps: []\nexpects: {numbers: ['x']}", "could not convert string"),
        (
            "variables: {price: 5}\nsteps: []\nexpects: {never_said: ['{prise} dollars']}",
            "{prise} is no variable - at `$.expects.never_said[0]`",
        ),
        ("steps: [{presses: abc}]", "at `$.steps[0].presses`"),
        ("steps: [{loses_line: bogus}]", "at `$.steps[0].loses_line`"),
        ("steps: []\nexpects: {profile: {a: {matches: '('}}}", "'(' is no regular expression"),
        (
            "steps: []\nexpects: {tools: [{name: T, arguments: {a: {matches: '['}}}]}",
            "'[' is no regular expression",
        ),
        (
            "steps: []\nexpects: {table: [{pk: a, sk: b, where: {a: {matches: '*'}}}]}",
            "'*' is no regular expression",
        ),
        (
            "steps: []\nexpects: {profile: {a: {matches: yes}}}",
            "matches: True is no text; put it in quotes",
        ),
        ("steps: [{says: yes}]", "got `bool` - at `$.steps[0].says`; put it in quotes"),
        ("steps: [{presses: 1}]", "got `int` - at `$.steps[0].presses`; put it in quotes"),
        (
            "variables: {word: no}\nsteps: [{says: '{word}'}]",
            "got `bool` - at `$.steps[0].says`; put it in quotes",
        ),
        (
            "variables: {word: no}\nsteps: [{says: 'oh {word}'}]",
            "{word} is true or false: put it in quotes, so that YAML reads a text - at"
            " `$.steps[0].says`",
        ),
        ("steps: []\nitems: [{pk: a}]", "items: each needs pk and sk"),
        ("steps: []\nvariables: {a: 1}\nvariants: [{b: 2}]", "variants: b is no variable"),
    ],
)
def test_fault_is_named_with_file_and_place(tmp_path: Path, text: str, fault: str) -> None:
    file = written(tmp_path, text)

    with pytest.raises(ScenarioError) as caught:
        read_file(file)

    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{file}: ")
    assert fault in line


def test_example_of_the_documentation_passes(play: Play) -> None:
    page = (CONFIGURATION.parent / "docs" / "build" / "scenarios.md").read_text()
    [example] = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    for variant in ("pepperoni, total: 14.5", "cheese, total: 13"):
        lines = [line for line in example.splitlines() if not line.startswith(("v", "  - {pizza"))]
        run = play("\n".join([*lines, f"variables: {{pizza: {variant}}}"]))
        assert run.failures == []


def test_place_without_a_scenario_is_a_fault(tmp_path: Path) -> None:
    written(tmp_path, "steps: [{says: hi}]")

    with pytest.raises(ScenarioError, match=r"has no scenario$"):
        read_folder(tmp_path / "away")
    with pytest.raises(ScenarioError, match="has no scenario with 'banana'"):
        read_folder(tmp_path, "banana")
