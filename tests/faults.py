"""Seeded faults: break the core one line at a time, and check that a test notices each time.

Each fault is a realistic mistake with the promise that it breaks (numbers as in
docs/explain/promises.md). The script makes it in a copy of the tree and runs the tests of the core:

    python tests/faults.py [--list] [--jobs 2] [--only 3 17 call/turn]

It exits with 1 if a fault survives or does not apply any more. The suite only checks that each
applies (`tests/call/test_faults.py`).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "agent"
_COPIED = ("agent", "tests", "configuration", "pyproject.toml")
_LIMIT_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake: in this module, `old` became `new`."""

    module: str
    old: str
    new: str
    promise: str


_FAULTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "call/conversation": (
        ("self.history.is_answered and not self._turn.is_broken_off:",
         "self.history.is_answered:", "7: an answer that an empty entry cut is given again"),
        ("            if self._lifecycle.accepts(event):\n                self._decide(event)\n",
         "            self._decide(event)\n", "an act that waited does not undo a final end"),
        ("        self._decide_kept(self._reply.release())\n        if self._turn.has_rest",
         "        self._reply.release()\n        if self._turn.has_rest",
         "7: a reply that gave way to a noise is said"),
        ("            self._stop_yielding()\n            self._actions += self._turn_taking",
         "            self._actions += self._turn_taking",
         "a reply that gave way goes on when there are no words"),
        (" or self._input.is_repetition(event.text):",
         ":", "2: the same words again do not begin the reply anew"),
        ("self._config.limits)\n        elif has_words",
         "self._config.limits)\n        if has_words", "partials never act"),
        ("elif not has_words(event.text) or self._input.is_repetition(event.text):",
         "elif not event.text or self._input.is_repetition(event.text):",
         "marks alone are no turn"),
        ("[*self._turn.leave(), *self._keypad.complete(), *records]",
         "[*self._keypad.complete(), *records]",
         "2: a caller who has spent everything gets no further answer"),
        ("is_complete, is_all = self._output.open_at is None, not",
         "is_complete, is_all = True, not", "3: a reply that went on is marked as cut"),
        ("        if late:\n            self._actions.append(self._turn.add_note(late))\n",
         "", "4: the model learns of a late result"),
        ("            self._stop_yielding()\n        elif is_nod", "        elif is_nod",
         "1: the words of a caller release the announcement of a transfer"),
        ("(was_awaited or closed) and not self._tools.is_awaited:", "(was_awaited or closed):",
         "1: the model is asked when all results are there"),
        ("        if (was_awaited or closed) and", "        if was_awaited and",
         "1: an entry that a transfer ends leaves no caller waiting"),
        ("        self._actions += records\n        if self",
         "        if self", "4: a result is recorded even after hang-up"),
        ("        if not (ending or self._keypad.is_collecting or self._operator.has_call):\n",
         "        if not (self._keypad.is_collecting or self._operator.has_call):\n",
         "a call that ends is not summarized"),
        ("        if not (ending or self._keypad.is_collecting or self._operator.has_call):\n",
         "        if not (ending or self._keypad.is_collecting):\n",
         "13: no model is asked for a summary while an operator has the call"),
        ("        self._actions += self._operator.release()\n", "",
         "13: an end takes the call from the operator, or it would never come"),
        ("_use_silence():\n            self._actions.append(self._turn_taking.await_caller())",
         "_use_silence():\n            pass", "7: silence after the playback is watched"),
        ("        elif self._is_stopping:\n            self._end_call(lifecycle.HANDED_OVER)\n",
         "", "a stopping service hands over at the next quiet moment"),
        ("is lifecycle.Phase.GONE and not self._tools.runs",
         "is lifecycle.Phase.GONE",
         "8: the call is over when nothing started is unfinished"),
        ("self._actions += self._turn.set_config(config.in_language(self._config.language))",
         "pass", "live edits: keys mean what the edited table says"),
        ("self._end_call(self._lifecycle.ending or lifecycle.CUT_SHORT)",
         "self._end_call(lifecycle.CUT_SHORT)",
         "a planned transfer is carried out when the service stops"),
        ("[*self._keypad.abandon(), *self._turn.leave()]",
         "self._turn.leave()", "5: keys typed before the service stops are recorded"),
        ("                self._turn.may_retry = False\n",
         "                pass\n", "a model that fails is not asked for ever"),
        ("elif self._turn_taking.is_callers or self._keypad.is_collecting or not",
         "elif self._keypad.is_collecting or not",
         "a call whose caller begins to speak is not quiet"),
        ("elif self._turn_taking.is_callers or self._keypad.is_collecting or not",
         "elif self._turn_taking.is_callers or not",
         "the model is asked for no news while the caller enters digits"),
    ),
    "call/opening": (
        ("if (ending := self._lifecycle.ending) and not", "if False and not",
         "an end that was announced follows when the line is back"),
        (", *self._tools.resume()]", "]", "4: what ran when the line was lost is taken up"),
        ("text, interruptible=False, preemptible=False)", "text)",
         "12: nothing stops the disclosure"),
        ("        return self._disclose(records) if records else self._finish_playback()\n",
         "        return self._finish_playback()\n",
         "12: a disclosure that was cut is said again"),
        ("        self._output.clear_audible()\n", "", "12: a later barge-in cuts nothing of it"),
        ("        if self.stage is OpeningStage.DISCLOSING:\n            return OpeningStep([])\n"
         "        if self._asks",
         "        if self._asks", "12: no answer comes before the question"),
        ("            return self._finish([*actions, *self._start_recording()])\n"
         "        if self._terms.on_refusal",
         "            return self._finish(actions)\n        if self._terms.on_refusal",
         "a call is recorded after consent"),
        ("            return self._finish(actions)\n        self.stage",
         "            return self._finish([*actions, *self._start_recording()])\n"
         "        self.stage",
         "12: a call is not recorded after a refusal"),
        ("        return replace(event, text=consent.screened",
         "        return event\n        return replace(event, text=consent.screened",
         "12: others get the answer and nothing else"),
        ("                return is_open or bool(self._terms.question)\n",
         "                return is_open\n", "12: words after a refusal that ends the call"),
        ("        if self._terms and not is_begun:\n", "        if False:\n",
         "12: a resumed call asks for consent"),
    ),
    "call/consent": (
        ("if (yes and no) or text", "if text", "a yes with a no is unclear"),
        ("if yes is None or table.negates.search(line[: yes.start()] + line[yes.end() :])",
         "if yes is None", "a yes under a condition is unclear"),
    ),
    "call/keypad": (
        ('self._keys = "" if digit == "*" else',
         'self._keys = "" if digit == "#" else', "the star takes back, the hash completes"),
        ("                return CallerPressed(rules.marks(",
         "                rules.marks(digit, '')\n                return CallerPressed(max(digit, ",
         "sensitive keys reach no fact"),
        ("return replace(event, text=spoken.hidden(text, marks))",
         "return event", "sensitive words reach no fact"),
        ("found = [reported, read(language), *map(read, LANGUAGES)]",
         "found = [reported, read(language)]", "9: a secret in another language is hidden"),
        ("self._hides |= collector is not None and collector.is_sensitive",
         "self._hides = collector is not None and collector.is_sensitive",
         "what repeats a sensitive entry is marked"),
        ("        self._tools.forget_collecting()\n", "",
         "a caller whose line was lost while typing is asked again"),
        ("if self._failures <= collector.retries:", "if self._failures < collector.retries:",
         "a wrong entry is asked for again"),
    ),
    "call/caller_language": (
        ("_ENOUGH = 3\n", "_ENOUGH = 1\n", "a short word changes no language"),
        ("_IN_A_ROW = 2\n", "_IN_A_ROW = 1\n", "a short sentence changes no language"),
        (" or _asks_for_name(question, config.language):",
         ":", "a name or an address changes no language"),
        ("config.language):\n            self._tag, self._prompts = \"\", 0\n",
         "config.language):\n",
         "a sentence in the language of the call breaks the row"),
        ("return [*discarded, SwitchLanguage(", "return [SwitchLanguage(",
         "8: nothing that was asked ahead goes on in another language"),
    ),
    "call/operator_acts": (
        ("        left, self._has_call = self._leave(), True\n",
         "        left, self._has_call = [], True\n",
         "13: a reply does not go on while an operator speaks"),
        ("        words = self._input.add_words(event.text, changed)\n",
         "        words = list[Action]()\n", "5: words to an operator are recorded"),
        ("        waits = [self._timers.start(Timer.OPERATOR, ANSWER_MS)]\n",
         "        waits = list[Action]()\n",
         "13: a caller whom no operator answers gets the model"),
        ("        if not is_unanswered:\n", "        if True:\n",
         "13: the model answers what the operator has not"),
        ("                return self._summarization.fail()  # it might ask for another one\n",
         "                return None\n", "13: no summary is asked for again meanwhile"),
    ),
    "call/stale_events": (
        ("return not self._reply.is_current(reply)",
         "return False", "2: output of an abandoned reply changes nothing"),
        ("return self._timers.running.get(timer) != serial",
         "return timer not in self._timers.running", "2: a timer that was replaced is stale"),
    ),
    "call/caller_wait": (
        ("            return self.await_filler(self._fillers.every_ms)\n        filler",
         "            pass\n        filler", "a filler does not talk over the caller"),
        ("if Timer.WAIT in self._timers.running or self._fillers.has_offered:",
         "if self._fillers.has_offered:", "a wait is measured from its beginning"),
    ),
    "call/turn_closing": (
        ("then = ending.farewell(words) if ending else words.anything_else",
         "then = words.anything_else", "who is called back is not asked for more at the end"),
        ("return None if self.must_answer(config) else []", "return []",
         "7: a model does not leave every turn unanswered"),
        ("text = whole if fact.is_cut and whole.startswith(fact.text) else fact.text",
         "text = fact.text", "words that were cut are said again whole"),
    ),
    "call/caller_wishes": (
        ("asks_for_person(given.spoken,", "asks_for_person(given.unanswered[0],",
         "keys before a wish for a person do not hide it"),
        ("and config.can_hand_off and not is_digit", "and config.can_hand_off",
         "a zero within a number is a digit"),
        ("        return self._is_choosing and goes_on_waiting(text, language)",
         "        return False", "a caller who goes on waiting does not lose the answer"),
        ("        is_offered = config.can_call_back and self._is_choosing\n",
         "        is_offered = self._is_choosing\n", "11: a call back is noted, or not offered"),
        ("if digit == CALL_BACK_KEY and config.can_call_back and self._is_choosing:",
         "if digit == CALL_BACK_KEY and config.can_call_back:",
         "the key for a call back is a digit when there is no choice"),
        ("        has_refused, self._has_refused = self._has_refused, True\n",
         "        has_refused = False\n", "the same refusal is not said again and again"),
    ),
    "call/utterance_analysis": (
        ("if not old or not new or _is_group(old, new):",
         "if not old or not new:", "5: equal groups of a number are not one group"),
    ),
    "call/turn": (
        ("        return [*left, *self.revoke_end()]\n",
         "        return left\n", "a caller who speaks revokes the end"),
        ("return [self.add_note(CALL_GOES_ON)] if self._lifecycle.revoke_end() else []",
         "return []", "a model that has ended the call learns that it goes on"),
        ("            self._has_been_stopped = True\n", "",
         "11: a model that claims the same again is asked for ever"),
        ("if name and not self._has_retried:", "if name:", "a model is asked for a tool once"),
        ("is_ending=self._lifecycle.end_is_final", "is_ending=False",
         "no choice is offered that has no effect"),
        ("        asked = self.ask() if delay else []",
         "        asked = self.ask() if not delay else []",
         "7: what was said in the longest turn is answered"),
        ("phrases\n        self._output.language = config.voice_language\n",
         "phrases\n", "speech names the language in force"),
        ("(said[-1][1].is_cut or said[-1][0] == self._broken_off)",
         "said[-1][1].is_cut", "7: an answer that an empty entry broke off is given again"),
        ("Timer.END_OF_TURN_DELAY, Timer.RETRY, Timer.PLAYBACK, Timer.IDLE)",
         "Timer.END_OF_TURN_DELAY, Timer.PLAYBACK, Timer.IDLE)",
         "2: words that come before another attempt take its place"),
        ("            *self._break_off(),\n            *self._tools.leave(is",
         "            *self._tools.leave(is", "6: an abandoned utterance is closed"),
        ("            *self.drop_reply(),\n            *self._break_off(),\n",
         "            *self._break_off(),\n", "2: a new prompt cancels the running reply"),
        ("        if self._tools.is_awaited or not limits.speculates:\n",
         "        if self._tools.is_awaited:\n", "a use case can do without speculation"),
        ("        return self._reply.ahead.discard()\n",
         "        return []\n", "2: what was asked before an edit is not adopted after it"),
        ("        self._round = 0\n        self._has_retried", "        self._has_retried",
         "each turn has its own rounds"),
        ("self._has_retried = self._has_gone_on = self._has_been_stopped = False\n",
         "self._has_retried = self._has_been_stopped = False\n",
         "each turn may go on after a noise"),
        ("        self._rest, self._has_gone_on = \"\", True\n",
         "        self._rest = \"\"\n", "a noise stops the agent once, then it stays silent"),
        ("        self._has_retried = self._has_gone_on = self._has_been_stopped = False\n"
         "        return", "        return", "7: each turn may be tried once more"),
        ("return [*noted, *self.ask(self._reply.choice)], Then.AWAIT",
         "return [*noted, *self.ask()], Then.AWAIT", "a final round stays one without tools"),
        ("self._timers.stop(Timer.END_OF_TURN_DELAY, Timer.RETRY, Timer.PLAYBACK, Timer.IDLE)",
         "self._timers.stop(Timer.RETRY, Timer.PLAYBACK, Timer.IDLE)",
         "2: words that join do not leave a second reply to come"),
        ("return [*self.drop_reply(), *self.ask(self._reply.choice)]", "return self.drop_reply()",
         "7: an interrupt after its prompt does not leave the words unanswered"),
        ("asked = (self._asked_at or len(self._history), self._broken_off)",
         "asked = (len(self._history), self._broken_off)",
         "a backchannel while the model writes confirms nothing"),
        ("self._round >= self.config.limits.tool_rounds",
         "self._round > self.config.limits.tool_rounds", "five rounds"),
        ("        self._tools.has_news = False\n", "", "4: the model gets a late result once"),
        ("        stopped = [*self._timers.stop(Timer.FLUSH), *self.wait.end()]\n        closed",
         "        stopped: list[Action] = []\n        closed", "no filler follows an apology"),
        ("is_awaited = Timer.FILLER in self._timers.running",
         "is_awaited = False",
         "requests that only call tools are one wait"),
        ("return [*self.wait.end(), *self._output.say(words)]",
         "return self._output.say(words)", "no filler when words came"),
        ("if Timer.FLUSH in self._timers.running and not said:",
         "if Timer.FLUSH in self._timers.running:",
         "the beginning of a clause waits for its end"),
        ("        self._failures, self.may_retry = 0, True\n",
         "", "two failures in a row, not in a call"),
        ("        self._tools.specs = config.tools\n",
         "", "live edits: what is offered is what the edit says"),
        ("        self._fillers.phrases = config.phrases\n",
         "", "live edits: sentences are the edited ones"),
        ("if self._reply.has_begun and not self._reply.chunker.has_call:",
         "if self._reply.has_begun:", "a tool call in text is asked for again"),
        ("return [*said, self._timers.start(Timer.RETRY, again_after_ms)], Then.AWAIT",
         "return said, Then.END_TURN",
         "a model that has failed twice is asked again without the caller"),
        ("ending.farewell(self.config.phrases) if ending else sentence",
         "sentence", "the last words of a call are a goodbye"),
        ("            self._broken_off = self._output.open_at\n",
         "            pass\n", "yes confirms only what was said to the end"),
    ),
    "call/reply": (
        ("self.is_active, self.withheld = False, []",
         "self.is_active = False", "2: what was withheld of an abandoned reply is dropped"),
        ("        return self.is_active and not is_over\n",
         "        return self.is_active\n", "2: only what runs is cancelled"),
        ("is_awaited = self.is_awaited and reply == self.number",
         "is_awaited = self.is_active", "2: a stale number is not current"),
        ("        self._last_number += 1\n        self._start(self._last_number, choice",
         "        self._last_number = 1\n        self._start(self._last_number, choice",
         "2: ids are never reused"),
        ("(used.reply for _, used in self._history.tool_runs()), default=0)",
         "(0 for _ in ()), default=0)", "2: ids are never reused, also after a break"),
        ("        if not isinstance(event, ReplyDelta | ReplyFinished | ReplyFailed):\n",
         "        if not isinstance(event, ReplyDelta):\n",
         "tools of a reply wait for a caller who goes on"),
        ("            return self.guard.finish(self.chunker.feed(text))\n",
         '            return ""\n', "words that come with the end mean what they mean before it"),
        ("self.chunker.finish(text, is_cut_short",
         "self.chunker.finish(is_cut_short", "5: words that come with the end are said"),
    ),
    "call/speculation": (
        ("if not (self._number and is_same_request(self._messages, messages)):",
         "if not self._number:", "2: a reply to other words is not adopted"),
        ("        is_same = is_open and self._history.messages(self._limit) == self._before\n",
         "        is_same = is_open\n", "what was asked before a change is given up at once"),
        ("        is_same = is_open and self", "        is_same = self",
         "8: nothing that was asked ahead outlives the call"),
        ("        self.words, self.language = text, language\n        discarded = self.discard()\n",
         "        self.words, self.language = text, language\n        discarded = list[Action]()\n",
         "one request ahead at a time, with the latest words"),
        ("return reply == self._number > 0 and not self._is_over",
         "return reply == self._number > 0", "2: nothing follows the end of a reply"),
        ("and is_affordable and", "and", "a call loses only so many requests"),
        ("and self._tries < MOST_TRIES", "", "a turn has only so many requests ahead"),
    ),
    "call/caller_input": (
        ("return said.text if self._history.asked == self._question else None",
         "return said.text", "5: what the agent has gone on to ask has an answer of its own"),
        ("records = [*self.keypad.complete(), self._append(CallerSaid(text",
         "records = [self._append(CallerSaid(text", "words complete an entry"),
        ("return self._history.unanswered(self._since), self._history.question",
         'return self._history.unanswered(self._since).split(". ")[-1], ""',
         "what the agent has asked for sets what a complete answer is"),
        ("            self._since = min(self._since, position)\n", "",
         "a nod that goes on is a part of the turn"),
        ("return is_recent and is_sentence and repeats(self._being_answered, text)",
         "return False", "a sentence that is given again is answered once"),
        ("fact.is_answer and not fact.is_cut", "fact.is_answer",
         "5: what is said into an answer is new"),
        ("fact.is_answer and not fact.is_cut", "not fact.is_cut",
         "5: what is said again after an apology is new"),
        ("        if len(self._history) == self._heard_out:\n            return \"\"\n", "",
         "5: what is said again after a short answer is new"),
    ),
    "call/turn_taking": (
        ("= asks_for_moment(self._input.spoken, language)", "= asks_for_moment(said, language)",
         "keys before a wish for a moment do not hide it"),
        ("return self._lifecycle.phase is Phase.OPEN and (self.is_callers or is_waiting)",
         "return self._lifecycle.phase is Phase.OPEN and self.is_callers",
         "7: fragments without end have a limit"),
        ("not question or is_ambiguous:", "not question:",
         "a yes to \"Are you still there?\" confirms nothing"),
        ("LONGEST_END_OF_TURN_MS if is_speaking else self._end_of_turn_ms",
         "self._end_of_turn_ms", "a caller who speaks has time for the words"),
        ("after_ms = LONGEST_END_OF_TURN_MS if self.caller_is_speaking else limits.transcript_ms",
         "after_ms = limits.transcript_ms", "a reply is withheld as long as the voice goes on"),
        ("            *(self._withhold(limits) if self._yields else []),\n",
         "", "a reply that was not heard gives way to the caller's voice"),
        ("(self._turn.is_under_way and self._output.is_silent)",
         "self._turn.is_under_way", "a reply that is heard is interrupted, not withheld"),
        ("= is_nod and not asks(self._output.heard_until(event.after_ms))",
         "= is_nod", "yes after a question is an answer"),
        ("            self._input.pass_over()\n", "            pass\n",
         "a nod hides nothing of the next words"),
        ("if self._asks_for_moment:\n", "if False:\n",
         "hold on is no reason to speak at once"),
        (" or (self._turn.is_under_way and self._output.has_spoken)",
         "", "a backchannel after a filler does not stop the tool"),
        ("(self._turn.is_under_way and self._output.has_spoken)",
         "self._turn.is_under_way", "before the agent has spoken a backchannel word is a turn"),
        ("self._fillers = self._reprompts = 0\n        self.is_waiting",
         "self._fillers = 0\n        self.is_waiting", "any sign of the caller resets the count"),
        ("self._fillers < self._limits.filler_count",
         "self._fillers <= self._limits.filler_count", "at most three fillers"),
        ("        if self._reprompts >= len(self._limits.idle_ms):",
         "        if self._reprompts > len(self._limits.idle_ms):", "two re-prompts, then goodbye"),
        ("began = [] if self.is_callers else [self._input.record_beginning()]",
         "began: list[Action] = []", "5: that the caller began to speak outlives the process"),
        ("self._output.note_played_out() and not (is_ending and self.is_callers)",
         "self._output.note_played_out()", "a call does not end while the caller begins to speak"),
        ("return LONGEST_VOICE_MS if self.caller_is_speaking else",
         "return", "a caller who talks hears no re-prompt"),
    ),
    "call/end_of_turn": (
        ("return len(code) >= (length or longest)",
         "return bool(code)", "a number is not answered before its last digit"),
        ("return said.has_more or not self._is_whole(said.code, named)",
         "return not self._is_whole(said.code, named)", "a dash is not the end of a number"),
        ("is_international = \"+\" in self._text or \"plus\" in self._said",
         "is_international = False", "a number with a country code is longer"),
        ("        if last in words.hesitations:\n            return True\n",
         "", "a caller who hesitates is waited for"),
        ("        return 0\n    judged", "        words = turn_words('en') or 0\n    judged",
         "nothing is judged in a language without a table"),
        ("return self._text.endswith((\"?\", \"\\uff1f\"))", "return False",
         "a question is answered at once"),
        ("if lead_in and not (self._begins_short_answer or self._is_relative(lead_in)):",
         "if lead_in:",
         "a relative clause ends a sentence"),
    ),
    "call/dictation": (
        ("groups[-2:] = [(joined, True)]", "groups[-2:] = [(second, True)]",
         "twenty three is one number of two digits"),
        ("zeros and len(second) == zeros and", "zeros and",
         "eight hundred and five of another group are four digits"),
    ),
    "call/sentence_chunker": (
        ('if not self._has_words:\n            return ""',
         'if False:\n            return ""', "7: a reply of marks alone is an empty reply"),
        ("if at - start > _LONGEST_TAG or not _is_open(text[start:at]):",
         "if True:", "a tag with blanks in it is not spoken"),
        ("and _ABBREVIATION.match(word) is None", "", "an abbreviation ends no sentence"),
        ('self._is_foreign, self._mark, self._last = False, "", word',
         'self._mark, self._last = "", word', "signs are worded again after a foreign word"),
    ),
    "call/agent_output": (
        ("for position in self._audible)\n\n    @property\n    def is_silent",
         "for position in self._audible[-1:])\n\n    @property\n    def is_silent",
         "yes after a question is an answer, also after a filler"),
        ("        self._first_unplayed = len(self._audible)\n        self.is_playing = False\n",
         "        self._first_unplayed = len(self._audible)\n",
         "a missing report of the end of playback has a time limit"),
        ("        self.clear_audible()\n        records",
         "        records", "3: a cut is made once"),
        ("if end < start + len(text) or is_open_ended:",
         "if end <= start + len(text) or is_open_ended:",
         "3: what was heard to its end is not cut"),
        ("start += len(text) + 1", "start += len(text)", "3: the position counts the joints"),
        ("        if not self.has_spoken:\n            self.clear_audible()\n",
         "", "3: what an earlier turn said is not cut"),
        ('        self._played = ""\n\n    def _begin_utterance',
         "\n    def _begin_utterance", "played texts of an older turn do not count"),
        ("            return [closing]\n",
         "            return []\n", "6: each utterance is closed by exactly one last"),
        ("return [closing, self._record(position)]",
         "return [closing]", "5: the last words of a reply are recorded"),
        ("            self._history.extend_speech(position, rest)\n        return [closing",
         "            pass\n        return [closing", "5: every word spoken is recorded"),
    ),
    "call/heard_alignment": (
        ("if same == len(report) or (same and _is_half(words, report, same)):",
         "if same == len(report):", "3: half a price is not heard"),
        ("        if self.left < 0:\n            raise",
         "        if False:\n            raise", "7: no report holds up the other calls"),
        ("        yield from (Match(at + a, done + b, size) for a, b, size in blocks)\n",
         "", "a long report with a number in it is still found"),
        ("for start in [0, *reversed(later[-_MOST_STARTS:])]:",
         "for start in [0]:", "a report may begin with a later message"),
        ("[{_UNSPACED}]|{_LETTER}+",
         "{_LETTER}+", "writing without spaces is cut where it was cut"),
        ("        found += 1  # the cut",
         "        at += 1  # the cut", "a word that was cut in half was not heard"),
    ),
    "call/lifecycle": (
        ("        self.ending = self.ending if self.end_is_final else None\n",
         "        self.ending = None\n", "a caller who talks on and on revokes no transfer"),
        ("return phrases.goodbye_spent_call, CALL_SPENT",
         "return phrases.goodbye_spent_call, BY_AGENT",
         "no model is asked once a spending limit is reached"),
        ("return self.phase is Phase.OPEN and not self.end_is_final",
         "return self.phase is Phase.OPEN", "3: a final end keeps its reason"),
        ("isinstance(effect, HangUp) and was_awaited:",
         "isinstance(effect, HangUp) and not was_awaited:",
         "a hang-up counts while the caller waits for it"),
        ("ev.PlaybackReported() | ev.Summarized() | ev.SummaryFailed():",
         "ev.PlaybackReported():", "8: a summary after the end changes nothing"),
        ("return CallEnding(EndReason.TRANSFER, data.bounded())",
         "return CallEnding(EndReason.TRANSFER, data.bounded(), is_revocable=True)",
         "a handoff cannot be revoked"),
        ("            self._timers.start(Timer.CLOSING, limits.closing_ms),\n",
         "", "8: the wait for the relay to close is bounded"),
        ("self._history, config.language)",
         "self._history)", "the language of the call is handed over"),
        (" if fact.means is InputMode.SPEECH",
         "", "keys are never handed over"),
        ("handoff.summary or last_words(facts)",
         "handoff.summary", "without a summary the caller's words stand in"),
        ("words[-_LAST_CHARACTERS:]", "words[:_LAST_CHARACTERS]", "the latest words are kept"),
        ("sum(size <= room for size in sizes)", "room", "what is handed over is small"),
        ('text.encode(errors="ignore").decode()', "text", "what is handed over can be sent"),
        ("        if room < 0:\n            return\n", "", "slots do not take all the room"),
        ("- limits.duration_warning_ms - elapsed_ms",
         "- limits.duration_warning_ms", "a break makes no call longer"),
        ("        if self.phase is not Phase.CLOSING:\n            self.reason",
         "        if True:\n            self.reason",
         "8: the reason of an end that was carried out stands"),
    ),
    "store/text_index": (
        ("    DELETE FROM call_text WHERE pk = {row}.pk;\n", "",
         "words of a removed fact leave the index with it"),
        ("    connection.execute(_DROP_GONE)\n", "",
         "a scrub leaves no name of a call without facts"),
        ("found.union(pk for (pk,) in changed if wanted in self._words(pk))", "found",
         "a text is found in a call that is not indexed yet"),
    ),
    "events/delivery": (
        ("in enumerate(waiting):", "in enumerate(waiting[::-1]):",
         "the events of a call are sent in their order"),
        ("return until if await self._store.put(lease, only_if_absent=True) else None",
         "return until if await self._store.put(lease) else None",
         "of two processes one sends the events of a call"),
        ("        is_dead = error.is_final or now + pause > event.since + times.give_up\n",
         "        is_dead = now + pause > event.since + times.give_up\n",
         "a receiver that is gone gets no further attempt"),
    ),
    "events/aws_sender": (
        ("is_final=code in _FINAL)", "is_final=True)",
         "a permission that is missing is waited for"),
    ),
    "session/announcements": (
        ("if record is not None and record.state is EffectState.DONE:", "if record is not None:",
         "a message that was told as failed is not told again"),
        ("await self._tell(failed, [key])", "await self._tell(failed, [key, self._clock()])",
         "a repeated report of a message is told once"),
    ),
    "usecases/tool_event": (
        ("        if effect is SideEffect.NONE:\n", "        if False:\n",
         "a tool without an outcome in the table tells nothing"),
    ),
    "session/call_redaction": (
        ('        del done["values"]\n', "",
         "redaction: what is replaced by what is dropped in the end"),
        ("        if sk not in left and (", "        if (",
         "redaction: an event that waits is delivered whole"),
    ),
    "usecases/redaction": (
        ('"number", digits[-_SAME_DIGITS:])', '"number", digits)',
         "redaction: one number has one placeholder, with a country code or without"),
        ("self._plain(part) for at, part", "super().text(part) for at, part",
         "redaction: numbers are found in the words of other languages"),
    ),
    "session/due_work": (
        ("        elif await self._store.get(call_sid, f\"{_PREFIX}{work}\") is not None:\n",
         "        else:\n", "due work: of a call that was forgotten nothing is written again"),
    ),
    "session/personal_data": (
        ("            over.pop(text_in(item, \"callSid\"), None)\n", "            pass\n",
         "forget: what leads to something that stays, stays"),
    ),
    "usecases/outcome_schema": (
        ("return decides if decides in found else None if None in found else not decides",
         "return decides if decides in found else not decides",
         "outcome: what is not known decides nothing"),
        ("if holds is None or lacks else Success.YES", "if holds is None else Success.YES",
         "outcome: a required field that is not known is no success"),
        ("one for name, one in self.fields.items() if one.source is None}",
         "one for name, one in self.fields.items()}",
         "outcome: a model is not asked for what a tool knows"),
    ),
    "usecases/call_variables": (
        ("text := _text(each[name])", "text := str(each[name])",
         "variables: what is no text or number is left out"),
        ("    if tool.timeout > _MOST_SECONDS:\n", "    if tool.timeout > 15:\n",
         "variables: the webhook is answered in time"),
    ),
    "session/outcome_queue": (
        ("                    except ValueError as error:\n"
         "                        messages += _sent_back(given, str(error))\n",
         "                    except ValueError:\n"
         "                        return _Answer(Asked.ANSWERED)\n",
         "outcome: an answer that does not fit is sent back, then refused"),
        (".call_sid) > call.number:", ".call_sid) > call.number + 1:",
         "outcome: a call that went on is counted once"),
        ("        if is_spent or self._requests >= self.requests:",
         "        if is_spent:", "outcome: a day has a limit of requests"),
    ),
    "usecases/caller_identity": (
        ('for code in ("+", "+1")',
         'for code in ("+",)', "withheld numbers have the code of North America before them, too"),
        ('reported.startswith("tn-validation-failed")', 'reported == "tn-validation-failed"',
         "a number that failed its validation at any level is not trusted"),
    ),
    "call/history": (
        ("AgentSaid(heard, self._uncut(position).voice, is_cut=True)",
         "AgentSaid(heard, self._uncut(position).voice)", "the model learns that it was cut off"),
        ("(at for at, fact in said if fact.voice is SpeechSource.MODEL)",
         "(at for at, fact in said)", "a re-prompt is not what the caller confirms"),
        ("after = _WAITING[self._cut_off] if last.role is Role.AGENT else ()",
         "after = ()", "1: a request ends with the caller"),
        ("            if not isinstance(fact, Summary):\n                if not (isinstance(",
         "            if True:\n                if not (isinstance(", "a summary is no key"),
        ("        if self._summary.text:\n            self._add(self._summary)\n",
         "", "a request begins with the summary"),
        ("        if not self.first <= position < len(self):",
         "        if not position < len(self):",
         "a position is an identity: a forgotten fact is not another one"),
        ("self._start(limit - len(self.summary.text) - len(self.summary.facts))",
         "self._start(limit)", "a summary has room"),
        ("if fact.reply == before:", "if before is not None:",
         "1: calls of two replies are two messages"),
        ("            if size > limit and start > self.summary.until:\n",
         "            if size >= limit and start > self.summary.until:\n", "what fits is kept"),
        ("return is_first and isinstance(facts[at], CallerSaid)",
         "return is_first and not isinstance(facts[at], AgentSaid)",
         "1: a request begins with the caller, and tool pairs stay whole"),
        ("            case AgentSaid(_, SpeechSource.FILLER):\n                pass",
         "            case AgentSaid(_, SpeechSource.FILLER) if False:\n                pass",
         "no model reads a filler"),
        ("if position < self.next:", "if False:", "a fact that has changed is not sent as it was"),
        ("if not (isinstance(fact, AgentSaid) and not fact.is_answer):", "if True:",
         "a sentence of ours is no answer to what was asked"),
    ),
    "call/tool_calls": (
        ("return is_lasting and not (result is not None and result.is_error)",
         "return is_lasting", "4: a call that was refused does not free the effect before it"),
        ("            if run.spec.side_effect is SideEffect.NONE:\n                del",
         "            if run.spec.side_effect is not SideEffect.ONCE:\n                del",
         "4: a side effect is never cancelled"),
        ("                actions.append(CancelTool(call_id))\n",
         "", "4: what was left without side effects is cancelled"),
        ("            run.awaited.clear()\n",
         "", "4: a run that was left is news, not the answer of this turn"),
        ("return self._join(reply, call, self._latest)",
         "return self._start(reply, call, spec)", "4: the same call joins the run in progress"),
        ("            if not last.result.is_error:\n", "", "4: what has failed may be tried again"),
        (", ensure_ascii=False, allow_nan=False",
         ", ensure_ascii=False", "1: arguments are JSON to every provider"),
        ("        if self.is_effect(used):\n            self._latest = position",
         "        self._latest = position", "4: a look between two equal calls changes nothing"),
        ("self._done = {_key(used.call): used.result.content}",
         "self._done[_key(used.call)] = used.result.content",
         "4: equal arguments after another effect may mean something else, also when forgotten"),
        ("return claims_confirmation(arguments) or (spec",
         "return (spec", "a model does not confirm in the turn in which it asks"),
        ("return call.name, canonical(call.arguments) or", "return call.name, call.arguments or",
         "4: equal arguments in another spelling are the same call"),
        ("if spec.side_effect is SideEffect.ONCE and not exchange.is_heard_out:",
         "if False:", "yes confirms only what was heard"),
        ("        run.awaited.add(position)\n", "", "7: the turn waits for the run it joined"),
        ("lambda action: isinstance(action, RunTool)",
         "lambda action: not isinstance(action, RunTool)", "4: a run is recorded before it starts"),
        ("        self.has_news = self.has_news or not run.awaited\n",
         "", "4: a late result is news"),
        ("if key in self._done", "if (call.name, call.arguments) in self._done",
         "4: equal arguments are the same call, also when it is forgotten"),
        ("max((int(minted[1]) for minted in ids if minted), default=0)",
         "0", "1: identifiers stay unique after a break"),
        ("is_lasting=spec.side_effect is not SideEffect.NONE",
         "is_lasting=False", "4: a beginning is written down first"),
        ("twins.get(_key(call)) if is_lasting else None",
         "None", "4: two facts of one run are one run after a break"),
        ("is_awaited=position > turn",
         "is_awaited=True", "4: after a break only what the caller waits for is awaited"),
    ),
    "call/heard_confirmation": (
        ("    if not exchange.is_heard_out:\n        return NOT_HEARD\n", "",
         "10: a read-back that was cut is agreed to"),
        ("if at > exchange.position]", "if at > exchange.position + 99]",
         "10: one yes is one commitment"),
        ("is_others or (questions(fact.text) > 0 and not _repeats(fact.text, asked))", "is_others",
         "10: a yes to 'Are you still there?' is none to the read-back"),
        ("name for name, value in given if not", "name for name, value in given if False and not",
         "10: what is committed is what was read back"),
    ),
    "call/last_answer": (
        ("if table is None or line == words_of(before):", "if table is None:",
         "a caller who asks the same again is not answered"),
        ("fact.voice is SpeechSource.MODEL and not fact.is_cut", "fact.voice is SpeechSource.MODEL",
         "an answer that the caller has not heard is not said again"),
    ),
    "call/commitment_sources": (
        ("return self._history.first > 0 or any(done) or any(told)", "return True",
         "11: a claim needs a tool that did it"),
        ("numbers = self.read[text, language] = all_numbers(text, language)",
         "numbers = self.read[text, language] = all_numbers(text, \"\")",
         "11: what was said is read in the language of the call"),
    ),
    "call/speech_guard": (
        ("for each in (self.session, self.language)}", "for each in (self.language,)}",
         "11: a reply in the language of the call is judged too"),
        ("if held and self._is_unsupported(sentence):", "if False:",
         "11: a claim that nothing supports is said"),
        ("            if may_be_last and again == last:", "            if False:",
         "an answer is given again to a caller who has gone on"),
        ("                self._kept = text\n                return \"\"",
         "                return \"\"", "7: the beginning of a new answer is lost"),
        ("        if self._is_full and part.strip():", "        if False:",
         "an answer without end is cut"),
        ("        self.verdict, self.unsaid = verdict, unsaid.strip()[:_SHOWN]\n        self._held",
         "        self.unsaid = unsaid.strip()[:_SHOWN]\n        self._held",
         "7: a guard leaves the caller without words"),
    ),
    "call/text": (
        ('return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")',
         "return text", "1: no text has half a character"),
    ),
    "call/messages": (
        ("if not (results and words):",
         "if not results:", "1: the agent's word is between results and words"),
    ),
    "call/summarization": (
        ("if not begun or at > begun[-1]", "if not begun",
         "10: a summary that began in the same step gives way to a later reply"),
        ("self._limits.kept_turns + 1",
         "self._limits.kept_turns + 2", "the last turns are read as they were said"),
        ("borders = [at for at in may_end if at <= settled]",
         "borders = list(may_end)", "what is summarized does not change any more"),
        ("needed = (audible, answered,",
         "needed = (audible,", "a question that was cut off is not forgotten"),
        ("needed = (audible, answered, next(open_runs, None))",
         "needed = (audible, answered)", "4: a run in progress is not forgotten"),
        ("        if self._until or not (", "        if not (", "one summary at a time"),
        ("return self._until > 0 and number == self._number",
         "return self._until > 0", "2: a summary of another number is stale"),
        ("        self._tools.remember(self._history.forget())",
         "        self._history.forget()", "4: a forgotten order is not made again"),
        ("        self._tools.remember(self._history.forget())",
         "        self._tools.remember(self._history)", "memory is bounded"),
        ("        self._end_attempt()\n        self._postpone()\n",
         "        self._end_attempt()\n", "a model that cannot is not asked at each turn"),
        ('f"Earlier summary: {summary or \'none\'}"',
         '"Earlier summary: none"', "a summary carries the one before it over"),
        ("return bounded_line((words + speech.finish()).translate(_BRACKETS), limit)",
         "return (words + speech.finish()).translate(_BRACKETS)", "a summary is short"),
        ('" ".join([before, *items]).translate(_BRACKETS)',
         '" ".join([before, *items])', "what was said does not leave its block"),
        ("return [*actions[:first], CancelSummary(self._number), *actions[first:]]",
         "return actions", "9: no summary runs beside a reply"),
        ("facts_block(earlier, lines, self._limits.facts_characters)",
         'facts_block("", lines, self._limits.facts_characters)',
         "9: what is noted is in every later summary"),
        ("        return self._ask(REFUSED.format(fault))\n",
         "        return self._put_in_force(summary)\n", "what is no summary is refused"),
        ("self._put_in_force(with_earlier(summary, earlier, longest))",
         "self._put_in_force(summary)", "a summary that the model drops is kept"),
    ),
    "call/facts_block": (
        ("key=lambda at: (_rank(latest[at]), -at))",
         "key=lambda at: -at)", "9: a full block keeps what matters most"),
        ("        for sentence in _sentences(said):\n", "        for sentence in [said]:\n",
         "9: a number at the end of a long story is noted"),
    ),
    "call/markup_filter": (
        ("or self.has_call or self._opening or self._is_of_others:",
         "or self.has_call or self._is_of_others:", "thinking is never spoken"),
        ("                self._is_of_others = True\n",
         "                pass\n", "only the channel of the answer is spoken"),
    ),
    "call/turn_preparation": (
        ("asks, self._has_asked = not self._has_asked, False",
         "asks = not self._has_asked", "edits are read for every turn"),
        ("return Preparation(asks=True, waits=True)",
         "return Preparation(asks=True)", "a key waits for edits"),
    ),
    "call/reading_pace": (
        ("max(self._ahead_until, now)", "self._ahead_until", "what is ahead is counted from now"),
        ("max(self._ahead_until, now) +", "now +", "what was said before is still ahead"),
        ("min(seconds_ahead * _SHARE, LONGEST_BEAT)", "LONGEST_BEAT",
         "a beat ends long before the speech"),
    ),
    "call/after_session": (
        ("if report.is_call_completed or report.status is SessionStatus.COMPLETED:",
         "if report.status is SessionStatus.COMPLETED:", "a call that is over is not reconnected"),
        ("TransferOutcome.UNANSWERED: Reconnect(ResumeCause.NOBODY)",
         "TransferOutcome.UNANSWERED: HangUpCall()", "7: a caller whom no person took comes back"),
        ("ResumeCause.HANDED_OVER if was_quiet else ResumeCause.LOST",
         "ResumeCause.HANDED_OVER", "a call cut in mid-sentence says that it broke off"),
        ("is not SessionStatus.ENDED or report.handoff is None",
         "is not SessionStatus.ENDED", "7: an end without our data is a failure"),
        ("if attempts >= MOST_ATTEMPTS:", "if False:", "a caller is not kept waiting for ever"),
        ("return not sent_end and close_code", "return close_code",
         "the end that we sent is no lost connection"),
    ),
    "call/resumption": (
        ("    if cause is ResumeCause.NOBODY:\n        return FirstWords(phrases.nobody_free)\n",
         "", "after an unanswered transfer the caller hears so"),
        ("if resumption.is_caller_cut_off:", "if False:", "5: words that never came are asked for"),
        ("FirstWords(phrases.resumed, BROKEN_OFF, asks_model=True)",
         "FirstWords(phrases.resumed)", "7: the thread of a broken sentence is taken up"),
    ),
}  # fmt: skip
"""For each module: this text became that, and the promise that breaks."""
FAULTS = tuple(Fault(module, *fault) for module, faults in _FAULTS.items() for fault in faults)


def applied(fault: Fault, core: Path) -> str:
    """The module with the fault in it; a ValueError unless its text is there exactly once."""
    text = (core / f"{fault.module}.py").read_text(encoding="utf-8")
    count = text.count(fault.old)
    if count != 1:
        raise ValueError(f"{fault.module}.py holds {count} times: {fault.old!r}")
    return text.replace(fault.old, fault.new)


def outcome(fault: Fault) -> str:
    """Which test notices the fault; `SURVIVED` if none does."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        _copy(tree)
        core = tree / "agent"
        try:
            broken = applied(fault, core)
        except ValueError as error:
            return f"DOES NOT APPLY: {error}"
        (core / f"{fault.module}.py").write_text(broken, encoding="utf-8")
        return _run(tree, sorted(_tests(tree, Path(fault.module)), key=_turn))


def _tests(tree: Path, module: Path) -> list[Path]:
    """All tests of the core, for a module of another room its own; not the list of faults."""
    if module.parts[0] != "call":
        return [tree / "tests" / module.parent / f"test_{module.name}.py"]
    return [path for path in tree.glob("tests/call/test_*.py") if path.name != "test_faults.py"]


def _copy(tree: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=ignored)
        else:
            shutil.copy(source, tree / name)


def _run(tree: Path, tests: list[Path]) -> str:
    options = ("-x", "-q", "-p", "no:cacheprovider", "--tb=no", "-rfE")
    environment = {**os.environ, "HYPOTHESIS_PROFILE": "dev", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run(  # noqa: S603 (our own interpreter, our own tests)
            [sys.executable, "-m", "pytest", *options, *map(str, tests)],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "caught by the time limit"
    if ran.returncode == 0:
        return "SURVIVED"
    pattern = r"^(?:FAILED|ERROR) tests/(?:call|usecases|events|session|store)/(.+?)(?: - .*)?$"
    found = re.search(pattern, ran.stdout, re.MULTILINE)
    return f"caught by {found[1]}" if found else f"NOT RUN: {ran.stdout[-300:]}{ran.stderr[-300:]}"


def _turn(tests: Path) -> tuple[int, str]:
    """Stories first, they are quick; the adversary last."""
    late = {"test_rules.py": 1}
    return late.get(tests.name, -tests.match("*_stories.py")), tests.name


def main() -> int:
    """Run all faults; returns the exit code."""
    parser = argparse.ArgumentParser(description="Break the core one line at a time.")
    parser.add_argument("--list", action="store_true", help="only list the faults")
    parser.add_argument("--jobs", type=int, default=2, help="faults tried at the same time")
    parser.add_argument("--only", nargs="+", default=[], help="numbers or modules of faults")
    arguments = parser.parse_args()
    chosen = [
        (number, fault)
        for number, fault in enumerate(FAULTS, start=1)
        if not arguments.only or {str(number), fault.module} & set(arguments.only)
    ]
    missed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        said = pool.map(lambda each: "" if arguments.list else outcome(each[1]), chosen)
        for (number, fault), found in zip(chosen, said, strict=True):
            missed += not found.startswith("caught")
            sys.stdout.write(f"{number:3} {fault.module:23} {fault.promise:70} {found}\n")
            sys.stdout.flush()
    if arguments.list:
        return 0
    sys.stdout.write(f"{len(chosen) - missed} of {len(chosen)} faults are caught\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
