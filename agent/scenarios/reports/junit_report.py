"""JUnit XML, as CI systems read it: a test case for each scenario and timing."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from agent.scenarios.outcome import ScenarioRun
from agent.scenarios.reports import EvalReport, clock, legible, run_name


def junit_xml(report: EvalReport) -> str:
    """The document; seconds are those of the calls."""
    root = ET.Element("testsuites", _counts(report.runs))
    for use_case, scenarios in report.by_use_case():
        runs = [run for each in scenarios for run in each]
        suite = ET.SubElement(
            root, "testsuite", {"name": legible(use_case or "scenarios"), **_counts(runs)}
        )
        for run in runs:
            _add_case(suite, run)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _counts(runs: Sequence[ScenarioRun]) -> dict[str, str]:
    failed = sum(not run.has_passed for run in runs)
    seconds = sum(run.seconds for run in runs)
    return {
        "tests": str(len(runs)), "failures": str(failed), "errors": "0", "time": f"{seconds:.3f}",
    }  # fmt: skip


def _add_case(suite: ET.Element, run: ScenarioRun) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=legible(run.use_case or "scenarios"),
        name=legible(run_name(run)),
        file=legible(run.file),
        time=f"{run.seconds:.3f}",
    )
    for check in run.failures:
        failure = ET.SubElement(case, "failure", message=legible(check.name), type="check")
        failure.text = legible(check.detail)
    if not run.has_passed:
        lines = (f"{clock(line.at)} {line.speaker}: {line.text}" for line in run.transcript)
        ET.SubElement(case, "system-out").text = legible("\n".join(lines))
