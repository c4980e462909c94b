"""The rules of `observability/rules` as resources at the end of `infrastructure/prometheus.yml`.

CloudFormation takes the text of a rules file as a property, and can include none from beside it.
`docs/generate.py` writes the copy. The numbers that follow from `MAX_CALLS` become the parameter.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "infrastructure" / "prometheus.yml"
_RULES = ROOT / "observability" / "rules"
_MARK = "  # Written by docs/generate.py from observability/rules; do not edit below.\n"
_LIMIT = "vector(100)"


def template() -> str:
    """The whole template: what stands before the mark, and the rules of now."""
    head = TEMPLATE.read_text(encoding="utf-8").partition(_MARK)[0]
    recording = _text("recording").replace(_LIMIT, "vector(${pMaxCallsPerTask})")
    return (
        head
        + _MARK
        + _namespace("RecordingRules", "recording", f"!Sub |\n{recording}")
        + _namespace("AlertRules", "alerts", f"|\n{_text('alerts')}")
    )


def _text(name: str) -> str:
    """A rules file without remarks, indented as the text of a property."""
    lines = (_RULES / f"{name}.yml").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.lstrip().startswith("#")]
    return "".join(f"        {line}".rstrip() + "\n" for line in kept)


def _namespace(logical_id: str, name: str, data: str) -> str:
    return f"""  {logical_id}:
    Type: AWS::APS::RuleGroupsNamespace
    Properties:
      Workspace: !GetAtt MetricsWorkspace.Arn
      Name: {name}
      Data: {data}"""
