"""What the conversation knows of its use case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from agent.call.answer_kind import ExpectedAnswer
from agent.call.messages import ToolSpec
from agent.call.spoken_values import KnownNumbers


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """What a key does; with no field set the model reads the key as a message."""

    reply_text: str = ""
    function: str = ""


@dataclass(frozen=True, slots=True)
class Phrases:
    """Sentences the agent says without a model, here in English; a use case may have its own.

    The other languages are in `agent.call.built_in_phrases`.
    """

    fillers: tuple[str, ...] = (
        "One moment, please.",
        "I am still on it.",
        "Thank you for waiting, it will not be long.",
    )
    apology: str = "I am sorry, I could not get an answer just now. Could you say that again?"
    trying_again: tuple[str, ...] = (
        "I am sorry, we have a technical problem. Please stay on the line, I am trying again.",
        "I am still trying. Thank you for your patience.",
    )
    lost_thread: str = "I am sorry, I lost my train of thought. What were you saying?"
    not_understood: str = "I am sorry, I did not quite get that. Could you put it another way?"
    blocked: str = "I am sorry, I cannot talk about that. Is there anything else I can do for you?"
    still_there: tuple[str, ...] = ("Are you still there?", "I am still here if you need anything.")
    may_i_answer: str = "I am sorry to stop you there. Let me make sure that I follow."
    """To a caller who has talked for `longest_turn_ms`."""
    take_your_time: str = "Of course, take your time."
    """To a caller who asks for a moment."""
    enter_digits: str = "Please enter the number on your keypad."
    digits_again: str = "I am sorry, I did not get that number. Please enter it again."
    shall_i_go_on: str = "Shall I go on?"
    """After an answer that was stopped because it was too long."""
    not_certain: str = (
        "I am sorry, I cannot say that for certain. What else would you like to know?"
    )
    """In place of a claim, a price or a time that nothing supports."""
    goodbye_idle: str = "I cannot hear you any more, so I will hang up now. Goodbye."
    goodbye: str = "Thank you for calling. Goodbye."
    goodbye_trouble: str = (
        "I am sorry, we have technical trouble. Please call again later. Goodbye."
    )
    transfer: str = "I will connect you with a person now."
    no_person: str = (
        "I am sorry, I cannot connect you with a person. Can I help you with anything else?"
    )
    """To a caller who asks for a person, without a transfer target."""
    wait_or_person: str = (
        "I am sorry, this takes longer than usual. Would you like to keep waiting,"
        " or shall I connect you with a person?"
    )
    """After a long wait."""
    wait_or_go_on: str = (
        "I am sorry, this takes longer than usual. Would you like to keep waiting,"
        " or shall we go on with something else?"
    )
    """The same without a transfer target."""
    wait_or_call_back: str = (
        "I am sorry, this takes longer than usual. Would you like to keep waiting, or shall we call"
        " you back? For a call back you can also press 1."
    )
    """The same where callers are called back."""
    person_or_call_back: str = (
        "I am sorry, this takes longer than usual. Would you like to keep waiting, shall I connect"
        " you with a person, or shall we call you back? For a call back you can also press 1."
    )
    """The same with a transfer target."""
    call_back_number: str = "At which number shall we call you back? You can also enter it."
    """To a caller whose number is withheld, who is to be called back."""
    call_back_noted: str = "Thank you, that is noted. We will call you back."
    anything_else: str = "Is there anything else I can do for you?"
    """After it, if the call goes on."""
    almost_over: str = "Just so you know, this call has to end in about a minute."
    goodbye_duration: str = "I am sorry, our time is up. Please call again. Goodbye."
    goodbye_spent: str = (
        "I am sorry, you have reached the limit of our service for today. "
        "Please call again tomorrow. Goodbye."
    )
    goodbye_spent_call: str = (
        "I am sorry, this call has reached the limit of our service. Please call again. Goodbye."
    )
    goodbye_stopping: str = "I am sorry, I have to end this call here. Please call again."
    resumed: str = "I am sorry, the line broke off for a moment."
    resumed_quiet: str = "I am still here, please go on."
    resumed_unheard: str = (
        "I am sorry, the line broke off while you were speaking. What were you saying?"
    )
    consent_refused: str = "I am sorry, I cannot go on without your consent. Goodbye."
    """Before a call ends because the caller has refused."""
    nobody_free: str = (
        "I am sorry, nobody is free to take your call just now. Can I help you with anything else?"
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """Times and counts of a call."""

    tool_rounds: int = 5
    filler_after_ms: int = 800
    filler_every_ms: int = 5_000
    filler_count: int = 3
    choice_after_ms: int = 15_000
    """Of a wait, until the caller is offered a choice; also between fillers after that."""
    skips: int = 2
    """How many turns in a row a model may leave unanswered."""
    reply_filler_after_ms: int = 3_000
    """Of a reply without its first word; `filler_after_ms` is for tools."""
    retry_after_ms: int = 5_000
    """Between the end of the sentence that asks for patience and the next attempt."""
    model_failure_ms: int = 30_000
    """How long the model is asked again when it fails and there is no transfer target."""
    flush_after_ms: int = 300
    end_of_turn_ms: int = 2_000
    """End-of-turn delay after words that seem unfinished."""
    end_of_number_ms: int = 3_000
    """The same while the caller dictates a number in groups."""
    transcript_ms: int = 1_200
    """From the end of the caller's voice until its words must have come; else it was noise."""
    idle_ms: tuple[int, ...] = (8_000, 10_000)
    """Silence before each re-prompt; after the last one the same silence ends the call."""
    moment_ms: tuple[int, ...] = (45_000, 60_000)
    """The same after the caller has asked for a moment."""
    longest_turn_ms: int = 60_000
    """How long the caller may talk without a word of the agent."""
    speculates: bool = True
    """Whether the model is asked with partial words (`agent.call.speculation`)."""
    ends_after_call_back: bool = False
    """Whether the call ends when a call back was noted."""
    resumes_after_noise: bool = True
    """Whether the agent goes on when a noise or a backchannel has stopped it, once in a turn."""
    expects: Mapping[str, ExpectedAnswer] = field(default_factory=dict)
    """What a complete answer is, by casefolded words of the agent's question."""
    guards_commitments: bool = False
    """Whether claims, prices and times are said only if a tool or the prompt says so."""
    longest_reply: int = 1_000
    """Characters of an answer after which it ends with its sentence; 0 = no limit."""
    resume_after_ms: int = 2_500
    """From a barge-in until a voice must be reported; else a noise has stopped the agent."""
    digits_ms: int = 3_000
    goodbye_ms: int = 10_000
    """The longest wait for the playback of the last words before the call ends."""
    duration_ms: int = 30 * 60_000
    duration_warning_ms: int = 60_000
    closing_ms: int = 10_000
    characters_per_second: int = 15
    history_characters: int = 32_000
    """In one request; about 8,000 tokens."""
    summarize_at_percent: int = 65
    """Share of `history_characters` above which older turns are summarized."""
    summarize_after_turns: int = 20
    turns_without_model: int = 100
    """The same, when the model gives no summary and an extract stands in."""
    kept_turns: int = 4
    """The latest caller turns, which are never summarized."""
    summary_characters: int = 4_000
    """The longest summary; about 1,000 tokens."""
    facts_characters: int = 3_000
    """What is carried word for word beside it (`agent.call.facts_block`)."""


class OnRefusal(StrEnum):
    """What follows when the caller refuses consent; a call is never recorded then."""

    GO_ON = "go_on"
    TRANSFER = "transfer"
    END = "end"


@dataclass(frozen=True, slots=True)
class OpeningTerms:
    """What a caller hears, and is asked, before the greeting (`agent.call.opening`)."""

    disclosure: Mapping[str, str] = field(default_factory=dict)
    """By language; the call begins in the first one. Empty = none."""
    question: Mapping[str, str] = field(default_factory=dict)
    """For consent, likewise."""
    on_refusal: OnRefusal = OnRefusal.GO_ON
    recording: str = ""
    """Channels of the recording that is begun after it, as Twilio names them; empty = none."""

    def __bool__(self) -> bool:
        return bool(self.disclosure or self.question)


@dataclass(frozen=True, slots=True)
class CallConfig:
    """The configuration of one call."""

    greeting: str = ""
    """Played by the relay unless `opening` comes before it; empty = the model speaks first."""
    tools: Mapping[str, ToolSpec] = field(default_factory=dict)
    keypad: Mapping[str, KeyBinding] = field(default_factory=dict)
    phrases: Phrases = Phrases()
    limits: Limits = Limits()
    can_hand_off: bool = False
    call_back: str = ""
    """The tool that notes a call back (`agent.call.actions.PromiseCallBack`); empty = none."""
    language: str = ""
    """In force, BCP 47; `multi` = that of each text, which the voice finds out."""
    translations: Mapping[str, Phrases] = field(default_factory=dict)
    """The sentences in each language that the call may change to, by its tag."""
    hears_any_language: bool = False
    """Speech-to-text finds the language itself; a change leaves it so."""
    has_other_backup_voice: bool = False
    """The voice may be replaced by one of another language, until the call changes its own."""
    opening: OpeningTerms = OpeningTerms()
    known: KnownNumbers = field(default_factory=KnownNumbers)
    """Of the prompt; empty unless `Limits.guards_commitments`."""

    @property
    def can_call_back(self) -> bool:
        return self.call_back in self.tools

    def entry_prompt(self, tool: str) -> str:
        """What asks for the digits that this tool collects, if the tool itself does not say it."""
        words = self.phrases
        return words.call_back_number if tool == self.call_back else words.enter_digits

    @property
    def voice_language(self) -> str:
        """The language that a piece of speech names; empty = the session's."""
        return "" if self.has_other_backup_voice else self.language

    def in_language(self, language: str) -> CallConfig:
        """The same in another language; its sentences stay if there is no translation."""
        if language == self.language:
            return self
        phrases = self.translations.get(language, self.phrases)
        return replace(self, language=language, phrases=phrases, has_other_backup_voice=False)
