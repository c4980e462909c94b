"""One ConversationRelay session from Twilio's side: no I/O and no clock.

The caller's acts and the server's frames go in, each with the seconds of one monotonic clock; the
frames for the server come out, in order, in `outbox`. The rules are those of
`docs/reference/relay.md`:

- Speech of the caller while the agent speaks stops the playback and is reported as `interrupt`, if
  what is played may be interrupted. Otherwise the words are delivered or lost, as
  `reportInputDuringAgentSpeech` says. It does not matter which of the two began first.
- Nothing is reported while nothing is played: a `prompt` then comes alone.
- What is queued after `end` is played before the session is over.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET

from agent.simulator.server_frames import (
    DigitsFrame,
    EndFrame,
    LanguageFrame,
    PlayFrame,
    ServerFrame,
    TextFrame,
)
from agent.simulator.speech_playback import HeardText, SpeechPlayback
from agent.simulator.talk_cycles import Departure, TalkLedger
from agent.simulator.twiml_reader import RelayInvitation

_MALFORMED_IN_A_ROW = 10
"""After which Twilio closes the socket (64105)."""
_BACKCHANNEL = re.compile(
    r"(yeah|yes|yep|uh[- ]?huh|mm[- ]?hm+|mhm|okay|ok|right|sure)[.,! ]*", re.I
)
_SPEECH, _KEYS = {"speech", "any", "true"}, {"dtmf", "any", "true"}


@dataclass(frozen=True, slots=True)
class RelayHabits:
    """What Twilio does that is not documented, and the time limits of the ledger."""

    heard: HeardText = HeardText.REPLY
    pace: float = 0.0
    """Characters the agent's voice speaks a second; 0 = the playback is moved by hand."""
    closing_seconds: float = 20.0
    """Within this time an interrupted cycle must be closed."""
    in_flight_seconds: float = 1.0
    language: str = "en-US"
    setup: Mapping[str, object] = field(default_factory=dict)
    """Fields of `setup` to replace or add; None leaves a field out."""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended, as the action URL is told."""

    status: str
    """`ended`, `completed` or `failed`."""
    at: float
    error: str = ""
    handoff: str | None = None

    def fields(self, session_id: str, seconds: float) -> dict[str, str]:
        """The form fields that are added to those of the call."""
        found = {
            "SessionId": session_id,
            "SessionStatus": self.status,
            "SessionDuration": str(int(seconds)),
            "CallStatus": "completed" if self.status == "completed" else "in-progress",
        }
        if self.error:
            reason = "The connection to the WebSocket server failed."
            found |= {"ErrorCode": self.error, "ErrorMessage": reason}
        if self.handoff is not None:
            found["HandoffData"] = self.handoff
        return found


class RelaySession:
    """One session, from `setup` to its end."""

    def __init__(self, relay: RelayInvitation, habits: RelayHabits, at: float) -> None:
        self.relay = relay
        self.session_id = f"VX{secrets.token_hex(16)}"
        self.ledger = TalkLedger(habits.in_flight_seconds, habits.closing_seconds)
        self.playback = SpeechPlayback(habits.pace)
        self.playback.advance(at)
        self.outbox: deque[str] = deque()
        self.ending: SessionEnd | None = None
        self.languages = [relay.attributes.get("ttsLanguage") or self._attribute("language")]
        """Of the voice, one after the other; the last one is that of the session."""
        self.digits = ""
        """Keys that the server has pressed."""
        self.spoken: list[tuple[float, float]] = []
        """When the agent was heard, from and to."""
        self.cuts: list[tuple[float, str]] = []
        """When the caller broke in, and what had been heard of the reply."""
        self.unheard_at_end = 0.0
        """Seconds of speech that were still to be played when the server sent `end`."""
        self._speaks_since = at
        self._habits = habits
        self.began_at = at
        self._events = set(self._attribute("events").split())
        self._is_interruptible = (self._attribute("interruptible") or "any") in _SPEECH
        self._is_preemptible = self._attribute("preemptible") == "true"
        self._is_heard_speaking = self._caller_is_speaking = False
        self._malformed = 0

    def set_up(self, at: float) -> None:
        """Send `setup` and begin to play the greeting."""
        self._send(**self._setup())
        if greeting := self._attribute("welcomeGreeting"):
            allowed = self._attribute("welcomeGreetingInterruptible") or "any"
            self.playback.advance(at)
            self.ledger.greeting = greeting
            self.playback.queue(greeting, opens_cycle=True, is_interruptible=allowed in _SPEECH)
            self._report_speaking(at, is_on=True)

    def receive(self, text: str, at: float) -> ServerFrame | None:
        """Enter a frame of the server; None if Twilio would have dropped it."""
        if self._habits.pace:
            self.advance(at)
        if self.ending is not None:
            return self.ledger.received_late(text, at)
        was_open = self.ledger.open_cycle is not None
        frame = self.ledger.received(text, at)
        match frame:
            case TextFrame(token) if token:
                self.playback.queue(token, opens_cycle=not was_open, **self._may(frame))
                self._report_speaking(at, is_on=True)
            case PlayFrame(_, loop):
                self.playback.queue_sound(loop, **self._may(frame))
                self._report_speaking(at, is_on=True)
            case LanguageFrame(str(language)):
                self.languages.append(language)
            case DigitsFrame(digits):
                self.digits += digits
            case EndFrame():
                self.unheard_at_end = self.playback.seconds_left
            case None if self.ledger.end is None:
                self._send(type="error", description="Invalid message received")
        self._count_malformed(frame, at)
        self.advance(at)
        if self._caller_is_speaking:
            self._break_in(at)
        return frame

    def _count_malformed(self, frame: ServerFrame | None, at: float) -> None:
        self._malformed = 0 if frame is not None else self._malformed + 1
        if self._malformed >= _MALFORMED_IN_A_ROW:
            self._end("failed", at, error="64105")

    def advance(self, at: float) -> None:
        """The caller goes on listening until `at`; without a pace nothing is played."""
        if self.ending is not None:
            return
        self.playback.advance(at)
        self._report_played()
        if self.playback.is_playing:
            return
        if self.ledger.open_cycle is None:
            self._report_speaking(at, is_on=False)
        if self.ledger.end is not None and self._habits.pace:
            self.finish(at)

    @property
    def due_at(self) -> float | None:
        """When `advance` will have something to do; None = never, by itself."""
        return None if self.ending is not None else self.playback.next_end

    def play_out(self, at: float) -> None:
        """Everything that has arrived is played to its end at once."""
        self.playback.play(self.playback.length)
        self.advance(at)
        self._report_speaking(at, is_on=False)

    def finish(self, at: float) -> None:
        """The session is over after an `end` of the server."""
        if self.ending is None and (end := self.ledger.end) is not None:
            handoff = end.handoffData
            self._end("ended", at, handoff=handoff if isinstance(handoff, str) else None)

    def begin_to_speak(self, words: str, at: float) -> bool:
        """The caller begins to say these words; returns whether Twilio hears them.

        What is played stops if it may be interrupted.
        """
        self.advance(at)
        media = self.playback.current
        if media is not None:
            is_nod = self._attribute("ignoreBackchannel") == "true"
            if is_nod and _BACKCHANNEL.fullmatch(words.strip()):
                return False
            if media.is_interruptible:
                self._report_caller(is_on=True)
                self.interrupt(at)
                return True
            if self._attribute("reportInputDuringAgentSpeech") not in _SPEECH:
                return False
        self._report_caller(is_on=True)
        return True

    def interrupt(self, at: float) -> str:
        """Stop the playback and report what was heard of it; returns that text."""
        utterance, after = self.playback.cut(self._habits.heard)
        self._report_speaking(at, is_on=False)
        self.ledger.interrupted(at)
        self.cuts.append((at, utterance))
        self._send(
            type="interrupt", utteranceUntilInterrupt=utterance, durationUntilInterruptMs=after
        )
        return utterance

    def prompt(self, words: str, at: float, *, is_final: bool = True, language: str = "") -> None:
        """Deliver the caller's words. Noise, and a nod while the agent speaks on, are no turns."""
        self.advance(at)
        self._break_in(at)
        goes_on = self._habits.pace and self.playback.is_playing
        is_nod = goes_on and _BACKCHANNEL.fullmatch(words.strip())
        if is_final and not is_nod and any(letter.isalnum() for letter in words):
            self.ledger.caller_spoke(at)
            if not self.playback.is_playing or not self._habits.pace:
                self.playback.start_over()
        language = language or self._habits.language
        self._send(type="prompt", voicePrompt=words, lang=language, last=is_final)

    def stop_speaking(self) -> None:
        """The caller has said what there was to say."""
        self._report_caller(is_on=False)

    def press(self, digit: str, at: float) -> bool:
        """One key; returns whether it was delivered."""
        self.advance(at)
        if self._attribute("dtmfDetection") != "true" and self._habits.pace:
            return False
        if (media := self.playback.current) is not None and self._habits.pace:
            allowed = self._attribute("interruptible") or "any"
            if allowed in _KEYS and (media.is_interruptible or allowed == "dtmf"):
                self.interrupt(at)
            elif self._attribute("reportInputDuringAgentSpeech") not in _KEYS:
                return False
        self.ledger.caller_spoke(at)
        if self._habits.pace and not self.playback.is_playing:
            self.playback.start_over()
        self._send(type="dtmf", digit=digit)
        return True

    def hang_up(self, at: float) -> None:
        """The caller hangs up; without effect when the session is over."""
        self._end("completed", at)

    def lost(self, error: str, at: float) -> None:
        """The connection to the server is lost, for this reason (64105, 39001)."""
        self._end("failed", at, error=error)

    def hung_up_on(self, detail: str, at: float) -> None:
        """The server closed the socket; without an `end` before it that is a fault."""
        if self.ending is None and self.ledger.end is not None:
            self.finish(at)
        elif self.ending is None:
            self.ledger.blame(Departure.HUNG_UP_ON, detail)
            self.lost("64105", at)

    def action_fields(self, ending: SessionEnd) -> dict[str, str]:
        """The form for the action URL."""
        own = ending.fields(self.session_id, ending.at - self.began_at)
        return {**self.relay.fields, **own}

    def _end(self, status: str, at: float, *, error: str = "", handoff: str | None = None) -> None:
        if self.ending is None:
            self.ledger.close(at)
            self.ending = SessionEnd(status, at, error, handoff)

    def _send(self, **frame: object) -> None:
        self.outbox.append(msgspec.json.encode(frame).decode())

    def _attribute(self, name: str) -> str:
        return self.relay.attributes.get(name, "")

    def _may(self, frame: TextFrame | PlayFrame) -> dict[str, bool]:
        interruptible, preemptible = frame.interruptible, frame.preemptible
        if interruptible is UNSET:
            interruptible = self._is_interruptible
        if preemptible is UNSET:
            preemptible = self._is_preemptible and isinstance(frame, TextFrame)
        return {"is_interruptible": interruptible, "is_preemptible": preemptible}

    def _report_speaking(self, at: float, *, is_on: bool) -> None:
        if is_on is not self._is_heard_speaking:
            self._is_heard_speaking = is_on
            if not is_on:
                self.spoken.append((self._speaks_since, at))
            self._speaks_since = at
            self._report("agentSpeaking", is_on=is_on)

    def _break_in(self, at: float) -> None:
        """The caller is heard while something is played; it was not when the words began."""
        media = self.playback.current
        if self._habits.pace and media is not None and media.is_interruptible:
            self.interrupt(at)

    def _report_caller(self, *, is_on: bool) -> None:
        self._caller_is_speaking = is_on
        self._report("clientSpeaking", is_on=is_on)

    def _report(self, name: str, *, is_on: bool) -> None:
        if "speaker-events" in self._events:
            self._send(type="info", name=name, value="on" if is_on else "off", ts=0)

    def _report_played(self) -> None:
        if "tokens-played" in self._events:
            for text in self.playback.finished_messages():
                self._send(type="info", name="tokensPlayed", value=text)

    def _setup(self) -> dict[str, object]:
        fields = self.relay.fields
        frame: dict[str, object] = {
            "type": "setup",
            "sessionId": self.session_id,
            "accountSid": fields["AccountSid"],
            "callSid": fields["CallSid"],
            "parentCallSid": "",
            "from": fields.get("From", ""),
            "to": fields["To"],
            "forwardedFrom": "",
            "callerName": "",
            "callType": "PSTN",
            "direction": fields["Direction"],
            "callStatus": fields["CallStatus"].upper(),
            "customParameters": dict(self.relay.parameters),
            **self._habits.setup,
        }
        return {name: value for name, value in frame.items() if value is not None}
