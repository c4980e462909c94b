"""Where a use case reaches people: what a file and a record may say, and what is refused."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from agent.usecases.folders import load_record
from agent.usecases.record import parse_use_case
from agent.usecases.seed import check
from agent.usecases.transfer_target import (
    PhoneTarget,
    QueueTarget,
    ReferralTarget,
    TransferTarget,
    WorkflowTarget,
)

ROOT = Path(__file__).parents[2]
WORKFLOW = "WW0123456789abcdef0123456789ABCDEF"

DESKS = [
    ('kind = "dial"\nto = "+15550100098"', PhoneTarget("+15550100098", 20, "")),
    (
        'kind = "dial"\nto = "sip:desk@pbx.test"\nring_seconds = 120\ncaller_id = "+15550100000"',
        PhoneTarget("sip:desk@pbx.test", 120, "+15550100000"),
    ),
    ('kind = "dial"\nto = "client:ada_1"\nring_seconds = 5', PhoneTarget("client:ada_1", 5)),
    ('kind = "enqueue"\nqueue = " the office "', QueueTarget("the office")),
    (f'kind = "enqueue"\nworkflow = "{WORKFLOW}"', WorkflowTarget(WORKFLOW)),
    (f'kind = "enqueue"\nworkflow = "{WORKFLOW}"\npriority = 5', WorkflowTarget(WORKFLOW, 5)),
    ('kind = "refer"\nto = "sips:desk@example.com"', ReferralTarget("sips:desk@example.com")),
]


def folder(tmp_path: Path, text: str) -> Path:
    """A use case in a folder of configuration."""
    path = tmp_path / "use-cases" / "shop"
    path.mkdir(parents=True)
    (path / "prompt.md").write_text("Be brief.")
    (path / "use-case.toml").write_text(text)
    return path


def desk_of(**attributes: object) -> TransferTarget | None:
    record = {"pk": "shop", "prompt": "Be brief.", **attributes}
    return parse_use_case(record, {})[0].transfer_target


@pytest.mark.parametrize(("text", "desk"), DESKS)
def test_a_desk_of_a_file_is_read_back_from_its_record(
    tmp_path: Path, text: str, desk: TransferTarget
) -> None:
    """The writer of records and their reader agree."""
    path = folder(tmp_path, f"[desk]\n{text}")

    record = load_record(path, {})

    assert parse_use_case(record, {})[0].transfer_target == desk
    assert check(tmp_path, {}) == []


@pytest.mark.parametrize("number", ["+15550100098", "sip:desk@example.com", "client:ada_1"])
def test_the_short_form_is_a_desk_that_is_dialled(tmp_path: Path, number: str) -> None:
    """In a file as in a record."""
    record = load_record(folder(tmp_path, f'handoff_number = "{number}"'), {})

    assert record["handoffNumber"] == number
    assert "desk" not in record
    assert desk_of(handoffNumber=number) == PhoneTarget(number, 20, "")


def test_a_desk_may_be_json_text_or_hold_numbers_of_dynamodb() -> None:
    """As other loaders write them."""
    text = f'{{"kind": "enqueue", "workflow": "{WORKFLOW}", "priority": 5}}'

    assert desk_of(desk=text) == WorkflowTarget(WORKFLOW, 5)
    assert desk_of(
        desk={"kind": "dial", "to": "+15550100098", "ring_seconds": Decimal("30")}
    ) == PhoneTarget("+15550100098", 30)


@pytest.mark.parametrize("attributes", [{}, {"desk": None}, {"desk": ""}, {"handoffNumber": ""}])
def test_a_use_case_needs_no_desk(attributes: dict[str, object]) -> None:
    """Its callers are told that nobody is there."""
    assert desk_of(**attributes) is None


NOT_TO_DIAL = "is not an E.164 number, a SIP address (sip:…) or an app's user (client:…)"


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ({"handoffNumber": "555 0100"}, f"handoffNumber: {NOT_TO_DIAL}"),
        (
            {"handoffNumber": "+15550100098", "desk": {"kind": "dial", "to": "+15550100098"}},
            "handoffNumber: there is a desk as well",
        ),
        ({"desk": {}}, "desk: Expected `object`, got `null`"),
        ({"desk": "{"}, "desk: is not JSON: Input data was truncated"),
        ({"desk": ["dial"]}, "desk: Expected `object`, got `array`"),
        ({"desk": {"to": "+15550100098"}}, "desk: Object missing required field `kind`"),
        ({"desk": {"kind": "fax"}}, "desk.kind: Invalid enum value"),
        ({"desk": {"kind": "dial"}}, "desk: Object missing required field `to`"),
        ({"desk": {"kind": "dial", "to": "client:a b"}}, f"desk.to: {NOT_TO_DIAL}"),
        ({"desk": {"kind": "dial", "to": "sip:"}}, f"desk.to: {NOT_TO_DIAL}"),
        (
            {"desk": {"kind": "dial", "to": "+15550100098", "ring_seconds": 4}},
            "desk.ring_seconds: Expected `int` >= 5",
        ),
        (
            {"desk": {"kind": "dial", "to": "+15550100098", "ring_seconds": 121}},
            "desk.ring_seconds: Expected `int` <= 120",
        ),
        (
            {"desk": {"kind": "dial", "to": "+15550100098", "caller_id": "office"}},
            "desk.caller_id: is not an E.164 number",
        ),
        (
            {"desk": {"kind": "dial", "to": "+15550100098", "queue": "a"}},
            "desk: Object contains unknown field `queue`",
        ),
        ({"desk": {"kind": "enqueue"}}, "desk: needs either a queue or a workflow"),
        ({"desk": {"kind": "enqueue", "queue": " "}}, "desk: needs either a queue or a workflow"),
        (
            {"desk": {"kind": "enqueue", "queue": "a", "workflow": WORKFLOW}},
            "desk: needs either a queue or a workflow",
        ),
        (
            {"desk": {"kind": "enqueue", "queue": "a" * 65}},
            "desk.queue: Expected `str` of length <= 64",
        ),
        (
            {"desk": {"kind": "enqueue", "queue": "a", "priority": 1}},
            "desk.priority: is for a workflow",
        ),
        (
            {"desk": {"kind": "enqueue", "workflow": "FW1"}},
            "desk.workflow: is not WW and 32 hexadecimal digits",
        ),
        (
            {"desk": {"kind": "enqueue", "workflow": WORKFLOW, "priority": -1}},
            "desk.priority: Expected `int` >= 0",
        ),
        (
            {"desk": {"kind": "refer", "to": "+15550100098"}},
            "desk.to: is not a SIP address (sip:…)",
        ),
    ],
)
def test_a_broken_desk_names_the_field_and_the_fault(
    attributes: dict[str, object], fault: str
) -> None:
    """One line, before anybody waits for a person."""
    record: dict[str, object] = {"pk": "shop", "prompt": "Sell.", **attributes}

    read, _ = parse_use_case(record, {})

    assert read.errors == (f"shop.{fault}",)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('handoff_number = "office"', f"handoff_number: {NOT_TO_DIAL}"),
        ("[desk]", "desk: Expected `object`, got `null`"),
        ('[desk]\nkind = "refer"\nto = "+1555"', "desk.to: is not a SIP address (sip:…)"),
        (
            'handoff_number = "+15550100098"\n[desk]\nkind = "enqueue"\nqueue = "a"',
            "handoff_number: there is a desk as well",
        ),
    ],
)
def test_a_broken_desk_of_a_file_names_the_file(tmp_path: Path, text: str, fault: str) -> None:
    """`python -m agent check` says so."""
    folder(tmp_path, text)

    assert check(tmp_path, {}) == [f"use-cases/shop/use-case.toml: {fault}"]


def test_the_desks_of_the_readme_are_read(tmp_path: Path) -> None:
    """Whoever copies one has a desk."""
    chapter = (ROOT / "docs" / "build" / "transfer.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", chapter.split("\n## ")[0], re.DOTALL)

    desks = []
    for number, example in enumerate(examples):
        record = load_record(folder(tmp_path / str(number), example), {})
        desks.append(parse_use_case(record, {})[0].transfer_target)

    assert desks == [
        PhoneTarget("+15550100098", 30, "+15550100000"),
        QueueTarget("the office"),
        WorkflowTarget("WW0123456789abcdef0123456789abcdef", 5),
        ReferralTarget("sip:desk@pbx.example.com"),
    ]
