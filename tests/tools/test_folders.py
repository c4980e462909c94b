"""The folders of use cases agree with the tools and with their own data."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from agent.call.config import Phrases
from agent.tools import SPECS
from agent.tools.builtin.order_history import key_prefixes
from agent.tools.builtin.restaurant.menu import Menu
from tests.shipped import CONFIGURATION, USE_CASES
from tests.tools.worlds import record

every_folder = pytest.mark.parametrize("folder", USE_CASES, ids=lambda folder: folder.name)


@every_folder
def test_a_record_names_tools_that_exist(folder: Path) -> None:
    tools = record(folder)["tools"]

    assert len(set(tools)) == len(tools)
    assert set(tools) <= SPECS.keys()
    for key in record(folder)["keypad"].values():
        assert key.get("function", tools[0]) in tools


@every_folder
def test_a_record_has_only_what_a_record_has(folder: Path) -> None:
    told = record(folder)

    assert told["title"]
    assert "<<" not in told["greeting"]
    assert "<<FIRST_NAME>>" in told["greeting_known"]
    assert {"ttsProvider", "voice", "transcriptionProvider", "language"} <= told["relay"].keys()
    spoken = {each["code"] for each in told.get("languages", [])}
    assert told.get("phrases", {}).keys() <= {field.name for field in fields(Phrases)} | spoken
    assert sorted(told["keypad"]) == list("0123456789")
    assert all(key["reply_text"] for key in told["keypad"].values())


@every_folder
def test_a_prompt_mentions_exactly_the_tools_of_its_use_case(folder: Path) -> None:
    prompt = (folder / "prompt.md").read_text()
    words = set(re.findall(r"\b[A-Z]\w+(?:[A-Z]\w*)+\b", prompt))
    mentioned = {word for word in words if word in SPECS or word.endswith("Function")}

    assert mentioned == set(record(folder)["tools"])


@every_folder
def test_a_prompt_has_the_placeholders_and_no_markdown_to_imitate(folder: Path) -> None:
    prompt = (folder / "prompt.md").read_text()
    placeholders = {"<<USER_CONTEXT>>", "<<CURRENT_DATE>>"}
    if folder.name == "defaultUseCase":
        placeholders.add("<<AVAILABLE_DEMOS>>")
    if key_prefixes(record(folder)["tools"]):
        placeholders.add("<<CALLER_HISTORY>>")

    assert set(re.findall(r"<<[^>]*>>", prompt)) == placeholders
    assert not re.search(r"^#|\*\*|`", prompt, re.MULTILINE)


def test_the_prompt_and_the_whole_menu_agree() -> None:
    folder = CONFIGURATION / "use-cases" / "restaurantOrderingUseCase"
    prompt = (folder / "prompt.md").read_text()
    menu = msgspec.convert(json.loads((folder / "items.json").read_text())[0], Menu, strict=False)

    for item in menu.items:
        prices = [item.price] if item.price else [*item.sizes.values()]
        assert f"{item.name} {', '.join(map(str, prices))}, " in prompt
    for price in (2, 3):
        names = [name for name, amount in menu.toppings.items() if amount == price]
        assert f"{price}.00 each: {', '.join(names)}." in prompt
    sections = Counter(item.section for item in menu.items)
    assert sections == {"starter": 4, "salad": 3, "pizza": 4, "calzone": 4}
    assert len(menu.toppings) == 13
