"""JSON, for programs: figures, comparison, and every run with all that is known of it."""

from __future__ import annotations

import msgspec

from agent.scenarios.figures import figures
from agent.scenarios.reports import EvalReport


def json_text(report: EvalReport) -> str:
    """The document."""
    document = {
        "facts": report.facts,
        "subjects": [
            {"subject": subject, "figures": figures(report.of(subject))}
            for subject in report.subjects
        ],
        "comparison": report.comparison,
        "remarks": report.remarks,
        "runs": [{"has_passed": run.has_passed, **msgspec.to_builtins(run)} for run in report.runs],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
