"""Each expectation fails when it is not met, by its name, and passes when it is."""

from __future__ import annotations

import pytest

from agent.scenarios.expectations import is_believed
from agent.scenarios.outcome import ScenarioRun
from tests.scenarios.conftest import Play

ORDER = """
steps:
  - says: hi, a large pepperoni pizza with mushrooms for pickup
  - says: "yes"
  - says: no, that is all, bye
"""


def verdict(run: ScenarioRun) -> dict[str, bool]:
    return {check.name: check.is_met for check in run.checks}


MET = """
expects:
  said: [order is placed]
  never_said: [delivered]
  numbers: [23.5]
  language: en
  outcome: ended
  tokens: 100000
  first_words: 5
  tools: [{name: PlaceOrderFunction, arguments: {order_type: pickup}, times: 1}]
  messages: []
  profile: {useCase: restaurantOrderingUseCase}
  table:
    - {pk: "{number}", sk: "restaurantOrder::", where: {order.order_total: 23.5, order.order_type: {matches: PICK}}}
"""  # noqa: E501 (one line of YAML)


def test_everything_that_is_expected_is_met(play: Play) -> None:
    run = play(ORDER + MET)

    assert [check for check in run.checks if not check.is_met] == []
    assert {"said 'order is placed'", "number 23.5", "table restaurantOrder::", "cost"} <= set(
        verdict(run)
    )
    assert run.tokens > 0


@pytest.mark.parametrize(
    ("expects", "name"),
    [
        ("said: [banana]", "said 'banana'"),
        ("never_said: [PIZZA]", "never said 'PIZZA'"),
        ("numbers: [24]", "number 24"),
        ("language: de", "language"),
        ("outcome: transferred", "outcome"),
        ("transfer_to: '98'", "transfer"),
        ("tokens: 1", "cost"),
        ("first_words: 0.1", "first words"),
        ("dead_air: 0.1", "dead air"),
        ("tools: [{name: PlaceOrderFunction, times: 2}]", "tool PlaceOrderFunction"),
        ("tools: [{name: EndCallFunction, arguments: {a: b}}]", "tool EndCallFunction"),
        ("messages: [{channel: sms, to: '+15550109001'}]", "message by sms"),
        ("profile: {useCase: other}", "table profile"),
        ("table: [{pk: '{number}', sk: 'restaurantOrder::', times: 0}]", "table restaurantOrder::"),
        (
            "table: [{pk: '{number}', sk: 'restaurantOrder::', where: {order.order_total: 1}}]",
            "table restaurantOrder::",
        ),
    ],
)
def test_expectation_that_is_not_met_fails_by_its_name(play: Play, expects: str, name: str) -> None:
    run = play(f"{ORDER}\nexpects:\n  {expects}")

    assert [check.name for check in run.failures] == [name]


def test_an_item_too_many_harms_the_caller_and_a_missing_word_does_not(play: Play) -> None:
    run = play(
        ORDER
        + "\nexpects:\n  said: [banana]\n"
        + "  table: [{pk: '{number}', sk: 'restaurantOrder::', times: 0}]"
    )

    assert [check.name for check in run.harms] == ["table restaurantOrder::"]


def test_silence_and_a_repeated_answer_are_faults_of_manners(play: Play) -> None:
    doubled = play("""
replies: [["We have fresh pizza for you today."], ["We have fresh pizza for you today."]]
steps: [{says: hello}, {says: what is there}]
""")

    assert verdict(doubled)["double answer"], "the caller had asked again"
    assert verdict(doubled)["dead air"]


def test_run_that_cannot_be_judged_fails_as_a_crash(play: Play) -> None:
    """Here the table refuses an item before the call. The other runs go on."""
    run = play(ORDER + "\nitems: [{pk: a, sk: b, c: .nan}]")

    assert [check.name for check in run.failures] == ["crash"]
    assert "StoreRefusedError" in run.failures[0].detail


@pytest.mark.parametrize(
    ("said", "is_true"),
    [
        (["Hello.", "We have soup. Shall I order toma"], True),
        (["Hello.", "We have soup. Shall I order"], True),
        (["We have soup.", "Shall I order"], True),  # in two answers, as a tool ran between
        (["We have soup. Shall I order", "And then?"], True),
        (["Shall I order"], False),  # the beginning is not in the record
        (["order"], False),
        (["We have soup. Shall I"], False),
        (["We have soup. Shall I order tomatoes"], False),
        (["Hello. We have soup. Shall I order"], False),
        ([], False),
    ],
)
def test_record_of_a_cut_holds_all_that_was_heard_and_no_more(
    said: list[str], *, is_true: bool
) -> None:
    assert is_believed("We have soup. Shall I order toma", said) is is_true


def test_record_of_a_cut_need_not_have_the_last_half_word_or_mark() -> None:
    assert is_believed("Shall I go on", ["Shall I go on?"])
    assert is_believed("Shall I go on? ", ["Shall I go on?"])
    assert is_believed("Sha", [""])
