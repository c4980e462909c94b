"""The defects of the predecessor systems as conditions, each with the tests that show it.

Numbers and wording are those of the list of acceptance conditions, part D of the description of
the predecessor.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_CALL = "tests/system/test_call.py::"
_CLOUD = "tests/templates/test_cloud.py::"
_VOICE, _RELAY = "tests/http/test_voice_webhook.py::", "tests/http/test_relay.py::"
_PATIENCE, _OPS = "tests/http/test_patience.py::", "tests/http/test_ops.py::"
_HISTORY, _SPEECH = "tests/call/test_history.py::", "tests/call/test_sentence_chunker.py::"
_TOOLBOX, _ORDERING = "tests/tools/test_executor.py::", "tests/tools/builtin/test_ordering.py::"
_SETTINGS, _COMMANDS = "tests/test_settings.py::", "tests/cli/test_commands.py::"
_ARCHITECTURE = "tests/repository/test_architecture.py::"
_STREAM, _MODELS = "tests/llm/test_converse_stream.py::", "tests/system/test_models_live.py::"

SHOWN: dict[int, tuple[str, ...]] = {
    1: (
        f"{_PATIENCE}test_closing_one_call_leaves_the_timers_of_another",
        "tests/http/test_isolation.py::test_fifty_calls_at_once_share_nothing",
    ),
    2: (
        f"{_PATIENCE}test_quiet_call_outlives_many_heartbeats",
        f"{_PATIENCE}test_peer_that_answers_no_ping_is_gone",
    ),
    3: (
        f"{_RELAY}test_frame_that_cannot_be_used_is_counted_and_ignored",
        f"{_RELAY}test_binary_frame_is_counted_and_ignored",
        f"{_RELAY}test_frames_before_setup_are_counted_and_ignored",
        f"{_RELAY}test_second_setup_changes_nothing",
    ),
    4: (
        f"{_VOICE}test_webhook_without_twilios_signature_is_refused",
        f"{_RELAY}test_handshake_without_twilios_signature_is_refused",
        f"{_RELAY}test_token_opens_one_socket",
        f"{_RELAY}test_setup_that_names_another_call_is_hung_up_on",
    ),
    5: (
        f"{_VOICE}test_fields_named_like_ours_change_nothing",
        f"{_VOICE}test_text_with_markup_is_escaped",
    ),
    6: (
        f"{_CALL}test_interrupt_stops_the_model_and_every_further_word",
        f"{_CALL}test_new_words_stop_the_answer_to_the_old_ones",
    ),
    7: (f"{_CALL}test_interrupt_leaves_in_the_history_what_was_heard",),
    8: (f"{_CALL}test_partial_words_start_no_turn",),
    9: (
        f"{_CALL}test_model_that_fails_is_answered_for",
        f"{_CALL}test_interrupt_stops_the_model_and_every_further_word",
    ),
    10: (
        f"{_HISTORY}test_any_facts_make_a_request_that_every_provider_accepts",
        f"{_CALL}test_several_tools_of_one_reply_are_run_and_answered",
    ),
    11: (
        f"{_CALL}test_answer_after_tools_is_told_and_stored",
        "tests/call/test_tools_stories.py::test_after_five_rounds_of_tools_the_model_must_answer",
    ),
    12: (
        f"{_CALL}test_facts_of_one_moment_keep_their_order",
        "tests/store/call_state/test_facts.py::test_the_key_of_a_fact_is_its_position",
    ),
    13: (
        f"{_HISTORY}test_the_latest_whole_turns_within_the_limit_are_kept",
        "tests/store/call_state/test_history_loader.py::test_every_fact_comes_back_exactly",
    ),
    14: (
        f"{_CALL}test_several_tools_of_one_reply_are_run_and_answered",
        f"{_STREAM}test_tools_come_at_any_index_and_several_in_one_message",
        f"{_STREAM}test_input_of_a_tool_may_be_split_anywhere",
    ),
    15: (
        f"{_CALL}test_use_case_without_tools_offers_none",
        "tests/llm/test_converse_request.py::test_a_first_turn_without_tools_is_small",
    ),
    16: (
        f"{_MODELS}test_fallback_answers_for_a_throttled_model",
        f"{_MODELS}test_denied_model_leads_to_an_apology_and_a_log_line",
        "tests/llm/test_failover_heard.py::test_no_fault_is_heard_as_silence",
    ),
    17: (f"{_SPEECH}test_thinking_is_never_spoken",),
    18: (
        f"{_TOOLBOX}test_any_other_error_is_logged_and_kept_from_the_model",
        f"{_TOOLBOX}test_a_slow_tool_is_stopped",
        f"{_TOOLBOX}test_an_unknown_tool_is_answered_with_those_there_are",
    ),
    19: (
        f"{_ORDERING}test_the_same_order_in_other_words_is_stored_once",
        f"{_ORDERING}test_a_wrong_total_is_corrected_and_told",
        "tests/tools/builtin/test_apartments.py::test_two_callers_never_get_the_same_slot",
        f"{_CALL}test_order_said_yes_to_twice_is_stored_once",
        f"{_CALL}test_order_for_delivery_keeps_the_address",
    ),
    20: (
        "tests/system/test_messages_call.py::test_order_ends_with_one_sms_and_one_email",
        "tests/system/test_messages_call.py::test_booked_tour_is_texted",
        "tests/system/test_messages_call.py::test_service_that_cannot_send_promises_nothing",
    ),
    21: (
        "tests/tools/builtin/test_caller_profile.py::test_a_name_is_saved_and_nothing_else_is_lost",
        f"{_CALL}test_newcomer_is_known_and_served_otherwise_in_the_next_call",
    ),
    22: (
        f"{_CALL}test_caller_who_asks_for_a_person_gets_one",
        f"{_CALL}test_goodbye_is_heard_before_the_call_is_ended",
    ),
    23: (
        f"{_CALL}test_key_speaks_its_line_and_then_runs_its_tool",
        f"{_CALL}test_key_that_runs_a_tool_forces_it",
        f"{_CALL}test_keys_without_a_binding_are_harmless",
        "tests/usecases/test_record.py::test_a_key_of_a_tool_the_use_case_does_not_offer_is_told_to_the_model",
    ),
    24: (
        f"{_VOICE}test_broken_record_is_an_apology",
        f"{_VOICE}test_profile_that_names_what_cannot_answer_falls_back",
        "tests/usecases/test_prompt.py::test_every_occurrence_of_a_placeholder_is_filled",
        f"{_ARCHITECTURE}test_shipped_use_case_is_complete",
    ),
    25: (
        f"{_SETTINGS}test_every_variable_is_read",
        f"{_ARCHITECTURE}test_every_variable_has_the_name_of_the_contract",
        "tests/repository/test_agreement.py::test_every_variable_that_is_named_is_read",
    ),
    26: (
        "tests/system/test_survival.py::test_deploy_drops_no_call_and_no_sentence",
        f"{_CLOUD}test_calls_in_progress_have_time_to_end",
        f"{_CLOUD}test_a_deployment_starts_new_tasks_first_and_goes_back_when_it_fails",
        f"{_CLOUD}test_scaling_follows_calls_and_leaves_head_room",
        f"{_CLOUD}test_protection_from_a_scale_in_is_off_until_asked_for",
    ),
    27: (
        f"{_CLOUD}test_tasks_have_no_public_address",
        f"{_CLOUD}test_only_the_load_balancer_is_open_to_the_world_and_on_one_port",
        f"{_CLOUD}test_no_image_can_change_behind_a_tag",
    ),
    28: (
        f"{_OPS}test_running_service_is_healthy_and_ready",
        f"{_OPS}test_metrics_have_the_names_of_the_contract",
        "tests/observability/test_metrics.py::test_log_is_json_without_personal_values",
    ),
    29: (
        f"{_SETTINGS}test_service_starts_without_any_variable",
        f"{_COMMANDS}test_shipped_configuration_passes_the_check",
    ),
}
"""By number: what shows that the condition is met."""


def test_every_condition_is_shown() -> None:
    """None of the 29 is forgotten."""
    assert sorted(SHOWN) == list(range(1, 30))


@pytest.mark.parametrize("number", SHOWN)
def test_tests_that_show_a_condition_exist(number: int) -> None:
    """A test that is renamed or deleted takes its condition with it, unless this fails."""
    missing = [name for name in SHOWN[number] if not _exists(*name.split("::"))]

    assert missing == []


def _exists(path: str, name: str) -> bool:
    return name in _tests_of(ROOT / path)


@lru_cache
def _tests_of(path: Path) -> frozenset[str]:
    if not path.exists():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    module = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in module.body if isinstance(node, functions))
