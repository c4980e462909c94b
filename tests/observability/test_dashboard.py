"""The dashboard: Grafana can load it, and every query asks for a metric that exists.

Grafana itself is in no registry that tests may rely on: the structure is tested, not the picture.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations, pairwise, product
from typing import Any

import pytest

from tests.observability.shipped import (
    PROVISIONING,
    dashboard,
    exported,
    metrics_in,
    read_yaml,
    targets,
)

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_OF_GRAFANA = {"row", "stat", "timeseries", "heatmap"}
"""Kinds of panels that need no plugin."""


def panels() -> list[dict[str, Any]]:
    """Those with queries; the others are rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def variables() -> dict[str, dict[str, Any]]:
    """What is chosen at the top, without the source, by name."""
    return {
        each["name"]: each for each in dashboard()["templating"]["list"] if each["type"] == "query"
    }


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """Where it lies on the grid."""
    x, y, width, height = (panel["gridPos"][each] for each in "xywh")
    return set(product(range(x, x + width), range(y, y + height)))


def test_every_metric_that_is_asked_for_is_exported() -> None:
    known = set().union(*exported().values())

    choices = [each["query"]["query"] for each in variables().values()]
    asked = " ".join([*choices, *(target.expr for target in targets())])

    assert metrics_in(asked) - known == set()
    assert all(metrics_in(target.expr) or "up{" in target.expr for target in targets())


def test_every_metric_is_shown() -> None:
    shown = metrics_in(" ".join(target.expr for target in targets()))

    assert {name for name, samples in exported().items() if not samples & shown} == set()


def test_rows_are_what_operators_ask_about() -> None:
    rows = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]

    told = "Callers, Latency, Model, Tools, Store and journal, Survival, Relay"
    assert rows == told.split(", ")


def test_panels_need_no_plugin_and_have_numbers_and_places_of_their_own() -> None:
    kinds = {panel["type"] for panel in dashboard()["panels"]}
    numbers = Counter(panel["id"] for panel in dashboard()["panels"])

    assert kinds <= _OF_GRAFANA
    assert set(numbers.values()) == {1}
    placed = [(panel["title"], cells(panel)) for panel in dashboard()["panels"]]

    assert [(a, b) for (a, x), (b, y) in combinations(placed, 2) if x & y] == []
    assert all(0 <= x < _COLUMNS for _, taken in placed for x, _ in taken)


def test_every_query_has_a_legend_and_asks_the_chosen_source() -> None:
    wrong = [
        (panel["title"], target["refId"])
        for panel in panels()
        for target in panel["targets"]
        if not (target["expr"] and target["legendFormat"] and target["datasource"] == _SOURCE)
    ]
    letters = [[target["refId"] for target in panel["targets"]] for panel in panels()]

    assert wrong == []
    assert all(panel["targets"] and panel["datasource"] == _SOURCE for panel in panels())
    assert all(len(set(each)) == len(each) for each in letters)


def test_legends_name_labels_that_the_query_keeps() -> None:
    """A label that is summed away is empty."""
    torn = [
        (target.panel, label)
        for target in targets()
        for label in re.findall(r"\{\{(\w+)\}\}", target.legend)
        if "by (" in target.expr
        and label not in re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target.expr)))
    ]

    assert torn == []


def test_zero_that_stands_for_nothing_is_no_line_beside_others() -> None:
    """`or` would add a line without a name if the labels differ."""
    for target in targets():
        for left, right in pairwise(target.expr.split(" or 0 * ")):
            assert _grouped(left)[-1:] == _grouped(right)[:1], target.panel


def _grouped(expr: str) -> list[set[str]]:
    """Labels that each sum of an expression keeps; `le` is used up by the quantile."""
    found = re.findall(r"sum(?: by \(([^)]*)\))?", expr)
    return [set(re.findall(r"\w+", labels)) - {"le"} for labels in found]


def test_variables_are_those_the_queries_use() -> None:
    offered = {each["name"] for each in dashboard()["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", " ".join(target.expr for target in targets())))

    assert offered == {"datasource", "instance", "use_case", "model"}
    assert used == {"instance", "use_case", "model", "__rate_interval"}


def test_choices_are_labels_of_metrics_that_are_there_early() -> None:
    """Models are those that are asked first and those that answer."""
    queries = {name: each["query"]["query"] for name, each in variables().items()}
    models = queries.pop("model")

    assert models == (
        'label_values({__name__=~"agent_llm_requests_total|agent_llm_tokens_total"}, model)'
    )
    assert set(queries) == {"instance", "use_case"}
    for name, query in queries.items():
        assert re.fullmatch(rf"label_values\(agent_\w+, {name}\)", query)


@pytest.mark.needs("linters")
def test_provisioning_gives_grafana_its_source_and_the_folder() -> None:
    [source] = read_yaml(PROVISIONING / "datasources" / "prometheus.yml")["datasources"]
    [folder] = read_yaml(PROVISIONING / "dashboards" / "voice-agent.yml")["providers"]

    assert (source["type"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")
    assert (folder["type"], folder["options"]) == ("file", {"path": "${GRAFANA_DASHBOARDS}"})
