"""`benchmarks/run.py` plays and reports; no time is judged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.consoles import main as watch_and_play
from benchmarks.run import compared, main
from benchmarks.sampler import BUDGET, LOOP, PLACES, read_budget
from benchmarks.table_stub import RefusedError, TableStub

_FIGURES = {"added_p50", "added_p95", "cpu_ms", "core", "rig_core", "frames", "errors"}

_QUICK = ("--levels", "2", "--turns", "1", "--warm", "1")


def test_levels_are_played_by_each_subject_and_saved(tmp_path: Path) -> None:
    """The table is the stub; the profile has a file."""
    saved, names = tmp_path / "saved.json", ("reference", "dynamodb", "nothing")

    assert main([*_QUICK, "--reps", "1", "--subjects", ",".join(names), "--json", str(saved)]) == 0

    rows = json.loads(saved.read_text())
    assert set(rows) == {f"2 {name}" for name in names}
    for (found,) in rows.values():
        assert found.keys() >= _FIGURES
        assert (found["turns"], found["errors"]) == (2, 0)
    assert rows["2 reference"][0]["frames"] == 41  # one for each token, and the end


def test_run_is_set_beside_a_saved_one() -> None:
    """Levels also as ratios to the reference loop, which was quicker the second time."""
    level = {"added_p50": 1.0, "added_p95": 2.0, "cpu_ms": 4.0, "core": 0.1}
    saved = {"50 sqlite": [level], "50 reference": [level], "start sqlite": [{"seconds": 2.0}]}
    quicker = {**level, "cpu_ms": 2.0}
    rows = {
        "50 sqlite": [level, level],
        "50 reference": [quicker],
        "start sqlite": [{"seconds": 1.0}],
    }

    lines = [" ".join(line.split()) for line in compared(rows, saved)]

    assert lines == [
        "figure saved now ratio",
        "50 sqlite added_p50 1.00 1.00 1.00",
        "50 sqlite added_p95 2.00 2.00 1.00",
        "50 sqlite cpu_ms 4.00 4.00 1.00",
        "50 sqlite added_p95 x 1.00 1.00 1.00",
        "50 sqlite cpu_ms x 1.00 2.00 2.00",
        "50 reference added_p50 1.00 1.00 1.00",
        "50 reference added_p95 2.00 2.00 1.00",
        "50 reference cpu_ms 4.00 2.00 0.50",
        "start sqlite seconds 2.00 1.00 0.50",
    ]


def test_profile_sets_each_stage_beside_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*_QUICK, "--profile", "--subjects", "sqlite"]) == 0

    shown = capsys.readouterr().out
    for stage, allowed in read_budget()["sqlite"].items():
        assert re.search(rf"^{stage} .* {allowed:.2f}( +over)?$", shown, re.M), stage


def test_every_stage_has_a_budget() -> None:
    stages = {LOOP, *(stage for _, stage in PLACES)}

    assert {name: set(shares) for name, shares in read_budget().items()} == {
        "sqlite": stages,
        "dynamodb": stages,
    }
    totals = [round(sum(shares.values()), 2) for shares in read_budget().values()]
    assert "In all {} and {}.".format(*totals) in BUDGET.read_text()


def test_table_stub_keeps_the_conditions_of_the_store() -> None:
    """What is absent or expired may be written, what is newer stays."""
    stub = TableStub()
    item = {"pk": {"S": "p"}, "sk": {"S": "s"}, "sequence": {"N": "2"}, "expireAt": {"N": "9"}}
    newer = {
        "Item": item,
        "ConditionExpression": "attribute_not_exists(pk) OR #e <= :now OR #s < :sequence"
        " OR NOT attribute_type(#s, :number)",
        "ExpressionAttributeNames": {"#e": "expireAt", "#s": "sequence"},
        "ExpressionAttributeValues": {
            ":now": {"N": "5"}, ":sequence": {"N": "2"}, ":number": {"S": "N"},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }  # fmt: skip

    stub.perform("PutItem", newer)
    with pytest.raises(RefusedError) as refused:
        stub.perform("PutItem", newer)

    assert refused.value.body["Item"] == item
    assert stub.perform("GetItem", {"Key": {"pk": {"S": "p"}, "sk": {"S": "s"}}}) == {"Item": item}
    asked = {
        "KeyConditionExpression": "pk = :partition AND begins_with(sk, :prefix)",
        "ExpressionAttributeValues": {":partition": {"S": "p"}, ":prefix": {"S": "t"}},
    }
    assert stub.perform("Query", asked)["Items"] == []


def test_calls_are_measured_while_consoles_watch_them(tmp_path: Path) -> None:
    """Each console has its streams before a window begins, or the benchmark fails."""
    saved = tmp_path / "saved.json"
    quick = ("--calls", "2", "--consoles", "2", "--pairs", "1", "--seconds", "3")

    assert watch_and_play([*quick, "--rows", "calls,overview", "--json", str(saved)]) == 0

    rows = json.loads(saved.read_text())
    assert set(rows) == {"calls", "overview"}
    for [[without, with_consoles]] in rows.values():
        assert (without[0] > 0, with_consoles[0] > 0) == (True, True)
        assert max(without[1], with_consoles[1]) < 1
