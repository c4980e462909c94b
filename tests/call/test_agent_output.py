"""Utterances: opened by words, closed once, cut once."""

from __future__ import annotations

from agent.call.actions import Record, Speak
from agent.call.agent_output import AgentOutput
from agent.call.history import AgentSaid, CallerSaid, History, SpeechSource


def mouth_with(history: History) -> AgentOutput:
    return AgentOutput(history, characters_per_second=10)


def test_an_utterance_grows_and_is_closed_once() -> None:
    """Promise 6."""
    mouth = mouth_with(History())

    said = [mouth.say("One "), mouth.say("two "), mouth.close("three."), mouth.close()]

    assert said == [
        [Speak(1, "One "), Record(0, AgentSaid("One "))],
        [Speak(1, "two "), Record(0, AgentSaid("One two "))],
        [Speak(1, "three.", is_last=True), Record(0, AgentSaid("One two three."))],
        [],
    ]


def test_last_words_alone_are_a_whole_utterance() -> None:
    """None is opened empty."""
    mouth = mouth_with(History())

    assert mouth.close() == []
    assert mouth.close("Yes.") == [
        Speak(1, "Yes.", is_last=True),
        Record(0, AgentSaid("Yes.", SpeechSource.MODEL)),
    ]
    assert not mouth.is_open


def test_a_whole_utterance_closes_an_open_one_first() -> None:
    """One utterance at a time."""
    mouth = mouth_with(History())
    mouth.say("One ")

    assert mouth.say_whole("Sorry.") == [
        Speak(1, "", is_last=True),
        Speak(2, "Sorry.", is_last=True),
        Record(1, AgentSaid("Sorry.", SpeechSource.SERVICE)),
    ]


def test_playing_time_counts_since_the_last_silence() -> None:
    """Ten characters a second here."""
    mouth = mouth_with(History())
    mouth.say_whole("0123456789")
    before = mouth.playing_ms
    mouth.note_silence()
    silent = mouth.playing_ms
    mouth.say_whole("01234")

    assert (before, silent, mouth.playing_ms) == (1_000, 0, 500)


def test_what_was_said_stays_audible_until_we_speak_after_the_caller() -> None:
    """An interrupt usually comes long after the text was complete."""
    history = History()
    mouth = mouth_with(history)
    mouth.say_whole("One two three.")
    history.append(CallerSaid("Hm."))
    mouth.begin_turn()

    late = mouth.cut("One two", None, is_complete=True)

    assert late == [Record(0, AgentSaid("One two", SpeechSource.SERVICE, is_cut=True))]


def test_what_was_said_before_the_last_turn_is_not_cut() -> None:
    """It was heard to its end, or cut then."""
    history = History()
    mouth = mouth_with(history)
    mouth.say_whole("One two three.")
    mouth.begin_turn()
    mouth.say_whole("Four five.")

    assert mouth.cut("Four", None, is_complete=True) == [
        Record(1, AgentSaid("Four", SpeechSource.SERVICE, is_cut=True))
    ]
    assert mouth.cut("", None, is_complete=True) == []


def test_several_utterances_are_one_list_of_words() -> None:
    """Practice section 5, rule 6; a whole one is not cut, a later one is cut to nothing."""
    mouth = mouth_with(History())
    for text in ("One two.", "Three four.", "Five six."):
        mouth.say_whole(text)

    assert mouth.cut("One two. Three", None, is_complete=True) == [
        Record(1, AgentSaid("Three", SpeechSource.SERVICE, is_cut=True)),
        Record(2, AgentSaid("", SpeechSource.SERVICE, is_cut=True)),
    ]


def test_a_cut_in_the_third_utterance_is_at_its_own_word() -> None:
    """The words are counted with the joints between them."""
    mouth = mouth_with(History())
    for text in ("One two.", "Three four.", "Five six."):
        mouth.say_whole(text)

    assert mouth.cut("One two. Three four. Five", None, is_complete=True) == [
        Record(2, AgentSaid("Five", SpeechSource.SERVICE, is_cut=True))
    ]


def test_only_the_last_utterance_of_an_unfinished_reply_is_open_ended() -> None:
    """All was heard, and more would have come."""
    mouth = mouth_with(History())
    mouth.say_whole("One two.")
    mouth.say_whole("Three.")

    assert mouth.cut("One two. Three.", None, is_complete=False) == [
        Record(1, AgentSaid("Three.", SpeechSource.SERVICE, is_cut=True))
    ]


def test_played_texts_of_a_turn_before_do_not_count() -> None:
    """Reports belong to what is audible now."""
    mouth = mouth_with(History())
    mouth.say_whole("One two three.")
    mouth.note_played("One two three.")
    mouth.begin_turn()
    mouth.say_whole("One two three four.")

    assert mouth.cut("One", None, is_complete=True) == [
        Record(1, AgentSaid("One", SpeechSource.SERVICE, is_cut=True))
    ]


def test_audible_words_are_all_since_the_callers_last() -> None:
    """None before the first, none after a cut."""
    mouth = mouth_with(History())
    before = mouth.audible_words
    mouth.say_whole("One?")
    mouth.say("Two.")
    said = mouth.audible_words
    mouth.close()
    mouth.cut("", None, is_complete=True)

    assert (before, said, mouth.audible_words) == ("", "One? Two.", "")


def test_a_greeting_is_remembered_and_not_sent() -> None:
    """The relay plays it."""
    mouth = mouth_with(History())

    assert mouth.greet("Hello.") == [Record(0, AgentSaid("Hello.", SpeechSource.GREETING))]
    assert mouth.has_spoken
    assert not mouth.is_open


def test_the_agent_speaks_while_words_come_or_are_played() -> None:
    """Until the relay stops, a cut, or the time at which it must have stopped."""
    mouth = mouth_with(History())
    heard = [mouth.is_speaking]
    mouth.say("One ")
    heard.append(mouth.is_speaking)
    mouth.close("two.")
    heard.append(mouth.is_speaking)
    for end in (
        mouth.note_played_out,
        mouth.note_silence,
        lambda: mouth.cut("", None, is_complete=True),
    ):
        mouth.note_playing()
        heard.append(mouth.is_speaking)
        end()
        heard.append(mouth.is_speaking)

    assert heard == [False, True, False, True, False, True, False, True, False]


def test_what_was_played_is_kept_to_a_bound() -> None:
    """A relay that reports without end makes the agent's words no longer, nor the memory full."""
    mouth = mouth_with(History())
    mouth.say("One two three four.")

    for _ in range(3):
        mouth.note_played("One two three " + "- " * 10_000)

    assert mouth.cut("One", None, is_complete=False) == [
        Record(0, AgentSaid("One two three", is_cut=True))
    ]
