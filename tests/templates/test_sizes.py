"""Sizes and numbers of tasks that contradict each other are refused before anything is created."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import product

import pytest

from agent.settings import Settings
from tests.templates.loading import CLOUD, REQUIRED, ROOT, cloud, load
from tests.templates.rendering import Stack

_PAGE = ROOT / "docs" / "operate" / "capacity.md"
_COLLECTOR_MIB = 256
_PROCESS_MIB = 100
_CALL_MIB = 0.12
"""Measured: 85 MB of an idle process, 120 KB of a call with 50 turns; docs/deploy/cost.md."""
_NAMES = ("pTaskCpu", "pTaskMemory", "pMaxCallsPerTask", "pTargetCallsPerTask")


def values(parameter: str) -> list[str]:
    allowed: list[str] = cloud()["Parameters"][parameter]["AllowedValues"]
    return allowed


def refusals(**chosen: str) -> list[str]:
    """What the rules that read only these parameters say of them."""
    read = [{"Ref": name} for name in chosen]
    stack = Stack({CLOUD: load(CLOUD)}, CLOUD, {**REQUIRED, **chosen})
    return [
        assertion["AssertDescription"]
        for rule in cloud()["Rules"].values()
        if rule["RuleCondition"].get("Fn::Equals", [None])[0] in read
        and stack.holds(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not stack.holds(assertion["Assert"])
    ]


def sizes() -> list[tuple[int, int, int, int]]:
    """CPU, memory, calls and target of all sizes that are taken."""
    combinations = product(*map(values, _NAMES))
    return [
        (int(chosen[0]), int(chosen[1]), int(chosen[2]), int(chosen[3]))
        for chosen in combinations
        if not refusals(**dict(zip(_NAMES, chosen, strict=True)))
    ]


def test_a_size_has_room_for_its_calls() -> None:
    """A whole vCPU for 400 calls at most; a part of one, which is throttled, for half of that."""
    taken = sizes()

    assert {cpu for cpu, *_ in taken} == {256, 512, 1024, 2048, 4096}
    assert (1024, 2048, 200, 100) in taken and (1024, 2048, 100, 70) in taken
    for cpu, memory, calls, target in taken:
        processes = max(1, cpu // 1024)
        needed = _COLLECTOR_MIB + _PROCESS_MIB * (processes + 1) + _CALL_MIB * calls
        assert calls <= (400 if cpu >= 1024 else 200) * cpu / 1024
        assert calls / 2 - 1 < target <= 0.7 * calls
        assert memory >= needed


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"pTaskCpu": "256", "pMaxCallsPerTask": "100", "pTargetCallsPerTask": "70"},
         "With pTaskCpu 256, pMaxCallsPerTask must be 10, 25 or 50."),
        ({"pTaskCpu": "2048", "pTaskMemory": "4096", "pMaxCallsPerTask": "25",
          "pTargetCallsPerTask": "15"},
         "With pTaskCpu 2048, pMaxCallsPerTask must be 50, 100, 200, 400 or 800."),
        ({"pMaxCallsPerTask": "100", "pTargetCallsPerTask": "100"},
         "With pMaxCallsPerTask 100, pTargetCallsPerTask must be 50, 60 or 70."),
        ({"pMinTasks": "10", "pMaxTasks": "6"},
         "With pMinTasks 10, pMaxTasks must be 10 or more."),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused_with_a_sentence(chosen: dict[str, str], sentence: str) -> None:
    assert refusals(**chosen) == [sentence]


def test_the_most_tasks_are_never_fewer_than_the_least() -> None:
    for least, most in product(values("pMinTasks"), values("pMaxTasks")):
        is_refused = refusals(pMinTasks=least, pMaxTasks=most) != []
        assert is_refused == (int(most) < int(least)), (least, most)


def test_the_processes_of_a_task_share_its_calls() -> None:
    """One for each whole vCPU; `MAX_CALLS` is the limit of each."""
    mappings = cloud()["Mappings"]
    taken = {(str(cpu), str(calls)) for cpu, _, calls, _ in sizes()}

    assert {
        (cpu, calls) for cpu in mappings["MaxCalls"] for calls in mappings["MaxCalls"][cpu]
    } == taken
    for cpu, calls in taken:
        processes = int(mappings["Processes"][cpu]["Count"])
        assert processes == max(1, int(cpu) // 1024)
        assert processes * int(mappings["MaxCalls"][cpu][calls]) == int(calls)


def test_the_page_has_the_sizes_that_are_taken() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d) \| ([\d, ()a-z]+) \| (\d+) \|$", _PAGE.read_text(), re.M)
    calls: dict[tuple[str, str], set[str]] = defaultdict(set)
    memory: dict[str, int] = {}
    for cpu, mib, most, _ in sizes():
        calls[str(cpu), cloud()["Mappings"]["Processes"][str(cpu)]["Count"]].add(str(most))
        memory[str(cpu)] = min(mib, memory.get(str(cpu), mib))

    assert {(cpu, count): set(re.findall(r"\d+", most)) for cpu, count, most, _ in rows} == calls
    assert {cpu: int(mib) for cpu, _, _, mib in rows} == memory


def test_a_process_of_a_task_has_not_fewer_calls_than_one_elsewhere() -> None:
    assert int(cloud()["Parameters"]["pMaxCallsPerTask"]["Default"]) >= Settings().max_calls
