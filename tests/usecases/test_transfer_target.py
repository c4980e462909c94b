"""Transfer targets: what a file and a record may hold, and what is refused."""

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

TARGETS = [
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


def target_of(**attributes: object) -> TransferTarget | None:
    record = {"pk": "shop", "prompt": "Be brief.", **attributes}
    return parse_use_case(record, {})[0].transfer_target


def errors_of(**attributes: object) -> tuple[str, ...]:
    return parse_use_case({"pk": "shop", "prompt": "Be brief.", **attributes}, {})[0].errors


@pytest.mark.parametrize(("text", "target"), TARGETS)
def test_a_target_of_a_file_is_read_back_from_its_record(
    tmp_path: Path, text: str, target: TransferTarget
) -> None:
    """The writer of records and their reader agree."""
    path = folder(tmp_path, f"[desk]\n{text}")

    record = load_record(path, {})

    assert parse_use_case(record, {})[0].transfer_target == target
    assert check(tmp_path, {}) == []


@pytest.mark.parametrize("number", ["+15550100098", "sip:desk@example.com", "client:ada_1"])
def test_the_short_form_is_a_target_that_is_dialled(tmp_path: Path, number: str) -> None:
    """In a file as in a record."""
    record = load_record(folder(tmp_path, f'handoff_number = "{number}"'), {})

    assert (record["handoffNumber"], record.get("desk")) == (number, None)
    assert target_of(handoffNumber=number) == PhoneTarget(number, 20, "")


def test_a_target_may_be_json_text_or_hold_numbers_of_dynamodb() -> None:
    """As other loaders write them; a record needs none."""
    text = f'{{"kind": "enqueue", "workflow": "{WORKFLOW}", "priority": 5}}'
    dial = {"kind": "dial", "to": "+15550100098", "ring_seconds": Decimal("30")}

    assert target_of(desk=text) == WorkflowTarget(WORKFLOW, 5)
    assert target_of(desk=dial) == PhoneTarget("+15550100098", 30)
    for none in ({}, {"desk": None}, {"desk": ""}, {"handoffNumber": ""}):
        assert target_of(**none) is None


NUMBER = "+15550100098"
DIAL: dict[str, object] = {"kind": "dial", "to": NUMBER}
QUEUE: dict[str, object] = {"kind": "enqueue"}
NOT_TO_DIAL = "is not an E.164 number, a SIP address (sip:…) or an app's user (client:…)"


@pytest.mark.parametrize(
    ("desk", "error"),
    [
        ({}, "desk: Expected `object`, got `null`"),
        ("{", "desk: is not JSON: Input data was truncated"),
        (["dial"], "desk: Expected `object`, got `array`"),
        ({"to": NUMBER}, "desk: Object missing required field `kind`"),
        ({"kind": "fax"}, "desk.kind: Invalid value, must be one of dial, enqueue, refer"),
        ({"kind": "dial"}, "desk: Object missing required field `to`"),
        ({"kind": "dial", "to": "client:a b"}, f"desk.to: {NOT_TO_DIAL}"),
        ({"kind": "dial", "to": "sip:"}, f"desk.to: {NOT_TO_DIAL}"),
        ({**DIAL, "ring_seconds": 4}, "desk.ring_seconds: Expected `int` >= 5"),
        ({**DIAL, "ring_seconds": 121}, "desk.ring_seconds: Expected `int` <= 120"),
        ({**DIAL, "caller_id": "office"}, "desk.caller_id: is not an E.164 number"),
        ({**DIAL, "queue": "a"}, "desk: Object contains unknown field `queue`"),
        (QUEUE, "desk: needs either a queue or a workflow"),
        ({**QUEUE, "queue": " "}, "desk: needs either a queue or a workflow"),
        ({**QUEUE, "queue": "a", "workflow": WORKFLOW}, "desk: needs either a queue or a workflow"),
        ({**QUEUE, "queue": "a" * 65}, "desk.queue: Expected `str` of length <= 64"),
        ({**QUEUE, "queue": "a", "priority": 1}, "desk.priority: is for a workflow"),
        ({**QUEUE, "workflow": "FW1"}, "desk.workflow: is not WW and 32 hexadecimal digits"),
        ({**QUEUE, "workflow": WORKFLOW, "priority": -1}, "desk.priority: Expected `int` >= 0"),
        ({"kind": "refer", "to": NUMBER}, "desk.to: is not a SIP address (sip:…)"),
    ],
)
def test_a_wrong_target_names_the_field_and_the_error(desk: object, error: str) -> None:
    """One line, before a caller waits for a person."""
    assert errors_of(desk=desk) == (f"shop.{error}",)


def test_a_wrong_short_form_is_named() -> None:
    """Also if it stands beside a table."""
    assert errors_of(handoffNumber="555 0100") == (f"shop.handoffNumber: {NOT_TO_DIAL}",)
    assert errors_of(handoffNumber=NUMBER, desk=DIAL) == (
        "shop.handoffNumber: there is a desk as well",
    )


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
def test_a_wrong_target_of_a_file_names_the_file(tmp_path: Path, text: str, fault: str) -> None:
    """`python -m agent check` prints it."""
    folder(tmp_path, text)

    assert check(tmp_path, {}) == [f"use-cases/shop/use-case.toml: {fault}"]


def test_the_examples_of_the_documentation_are_read(tmp_path: Path) -> None:
    """Each can be copied."""
    chapter = (ROOT / "docs" / "build" / "transfer.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", chapter.split("\n## ")[0], re.DOTALL)

    targets = []
    for number, example in enumerate(examples):
        record = load_record(folder(tmp_path / str(number), example), {})
        targets.append(parse_use_case(record, {})[0].transfer_target)

    assert targets == [
        PhoneTarget("+15550100098", 30, "+15550100000"),
        QueueTarget("the office"),
        WorkflowTarget("WW0123456789abcdef0123456789abcdef", 5),
        ReferralTarget("sip:desk@pbx.example.com"),
    ]
