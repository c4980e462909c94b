"""What a call takes from its use case."""

from __future__ import annotations

import pytest

from agent.call.answer_kind import AnswerKind, ExpectedAnswer
from agent.call.messages import ToolSpec
from agent.session.live_config import config_of
from agent.tools import SPECS
from agent.usecases import UseCase
from agent.usecases.turn_options import TurnOptions


def test_tools_and_the_use_case_say_what_a_complete_answer_is() -> None:
    """The use case knows more of it than a tool."""
    asked = (("Order number", "9 digits"), ("date of purchase", "date"))
    status = ToolSpec("OrderStatus", "Tells where an order is.", "{}", expects=asked)
    options = TurnOptions(expects={"order number": "6 digits"})

    config = config_of(UseCase("shop", "Hi.", tools=(status,), turn_taking=options), {})

    assert config.limits.expects == {
        "order number": ExpectedAnswer(AnswerKind.NUMBER, 6),
        "date of purchase": ExpectedAnswer(AnswerKind.DATE),
    }


@pytest.mark.parametrize(
    ("caller", "is_asked"),
    [("+15550100001", False), ("client:ada", True), ("anonymous", True), ("", True)],
)
def test_only_a_caller_without_a_number_is_asked_where_to_call_back(
    caller: str, is_asked: bool
) -> None:
    use_case = UseCase("shop", "Hi.", tools=(SPECS["RequestCallBackFunction"],))

    config = config_of(use_case, {"From": caller, "Direction": "inbound"})

    assert config.can_call_back
    assert (config.tools["RequestCallBackFunction"].collects is not None) == is_asked
