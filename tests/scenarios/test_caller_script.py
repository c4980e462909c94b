"""What the caller of a scenario does, step by step, on the service with scripted replies."""

from __future__ import annotations

from agent.scenarios.outcome import Check, ScenarioRun, Speaker
from tests.scenarios.conftest import Play

LONG = "The kitchen has Margherita and Quattro Stagioni and Capricciosa and Diavola today."


def failed(run: ScenarioRun) -> list[str]:
    return [check.name for check in run.failures]


def check(run: ScenarioRun, name: str) -> Check:
    [found] = [each for each in run.checks if each.name == name]
    return found


def lines(run: ScenarioRun, speaker: Speaker) -> list[str]:
    return [line.text for line in run.transcript if line.speaker is speaker]


def test_caller_waits_for_each_answer_and_hangs_up_when_no_step_is_left(play: Play) -> None:
    run = play("""
replies: [["First answer."], ["Second answer."]]
steps: [{says: a pizza}, {says: and a salad}]
""")

    said = [(line.speaker.value, line.text) for line in run.transcript[1:]]
    assert said == [
        ("caller", "a pizza"),
        ("agent", "First answer."),
        ("caller", "and a salad"),
        ("agent", "Second answer."),
    ]
    assert failed(run) == []
    assert run.outcome == "the caller hung up"
    assert run.turns[1].asked_at > run.turns[0].spoken_until


def test_fragments_are_final_prompts_with_a_pause_between_them(play: Play) -> None:
    run = play("""
replies: [["Noted."]]
steps: [{says: {fragments: [my number is, five five five], pause: 2}}]
""")

    first, second = [line for line in run.transcript if line.speaker is Speaker.CALLER]
    assert (first.text, second.text) == ("my number is", "five five five")
    assert second.at - first.until >= 2


def test_interrupt_comes_after_the_words_and_the_service_knows_what_was_heard(play: Play) -> None:
    run = play(f"""
replies: [["{LONG}"], ["Sure."]]
steps: [{{says: what is there}}, {{interrupts: {{words: stop please, after_words: 5}}}}]
""")

    [cut] = [text for text in lines(run, Speaker.LINE) if text.startswith("interrupted")]
    heard = cut.removeprefix("interrupted after ").strip("'")
    assert len(heard.split()) >= 5
    assert LONG.startswith(heard) and heard != LONG
    assert lines(run, Speaker.AGENT)[-1] == "Sure."
    assert failed(run) == []


def test_interrupt_at_a_word_that_is_never_said_is_a_fault_of_the_script(play: Play) -> None:
    run = play("""
replies: [["Short."]]
steps: [{says: what is there}, {interrupts: {words: stop, at: banana}}]
""")

    assert "script" in failed(run)
    assert "the agent was not speaking then" in check(run, "script").detail


def test_what_is_not_heard_in_time_is_a_fault_of_the_script(play: Play) -> None:
    run = play("""
replies: [["Here you are."]]
steps:
  - hears: Harbor Oven
  - says: a pizza
  - hears: here YOU
  - hears: {pattern: banana, within: 3}
""")

    assert failed(run) == ["script"]
    assert check(run, "script").detail == "hears 'banana': not within 3 s"


def test_keys_are_pressed_and_silence_is_kept(play: Play) -> None:
    run = play("""
steps: [{presses: "1"}, {waits: 2.5}, {hangs_up: false}]
""")

    [pressed] = [line for line in run.transcript if line.text == "(presses 1)"]
    [hung_up] = [line for line in run.transcript if line.text == "(hangs up)"]
    assert hung_up.at - pressed.at >= 2.5


def test_call_goes_on_after_a_lost_line(play: Play) -> None:
    run = play("""
replies: [["First answer."], ["Second answer."]]
steps: [{says: a pizza}, {loses_line: "64105"}, {says: are you there}]
""")

    assert "the connection is lost (64105)" in lines(run, Speaker.LINE)
    assert lines(run, Speaker.AGENT)[-1] == "Second answer."
    assert failed(run) == []
