"""Break the core one line at a time, and see that a test notices each time.

A test that cannot fail proves nothing. This list holds mistakes somebody could really make, each
with the promise it breaks (style section 3, or the section named). The script makes each of them
in a copy of the tree and runs the tests of the core there:

    python tests/faults.py [--list] [--jobs 2]

It exits with 1 if a fault survives or no longer applies. The ordinary suite only checks that each
still applies (`tests/call/test_faults.py`).
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
_COPIED = ("agent", "tests", "pyproject.toml")
_LIMIT_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake: in this module of the core, this text became that."""

    module: str
    old: str
    new: str
    promise: str


FAULTS = (
    Fault(
        "call/conversation",
        " or self._ear.has_heard(text):",
        ":",
        "2: the same words again do not begin the reply anew",
    ),
    Fault(
        "call/caller_input",
        "return said.text if self._history.asked == self._asked else None",
        "return said.text",
        "5: what the agent has gone on to ask has an answer of its own",
    ),
    Fault(
        "call/utterance_analysis",
        "if not old or not new or _is_group(old, new):",
        "if not old or not new:",
        "5: equal groups of a number are not one group",
    ),
    Fault(
        "call/turn",
        "Timer.HOLD, Timer.RETRY, Timer.PLAYBACK, Timer.IDLE)",
        "Timer.HOLD, Timer.PLAYBACK, Timer.IDLE)",
        "2: words that come before another attempt take its place",
    ),
    Fault(
        "call/turn_taking",
        "if is_dictating(since, is_wanted=is_wanted)",
        "if is_dictating(text, is_wanted=is_wanted)",
        "practice 4.4: a group of one digit goes on with a number",
    ),
    Fault(
        "call/sentence_chunker",
        'if not self._has_words:\n            return ""',
        'if False:\n            return ""',
        "7: a reply of marks alone is an empty reply",
    ),
    Fault(
        "call/agent_output",
        "for position in self._audible)\n\n    def begin_turn",
        "for position in self._audible[-1:])\n\n    def begin_turn",
        "practice 4.2: yes after a question is an answer, also after a filler",
    ),
    Fault(
        "call/heard_alignment",
        "        if self.left < 0:\n            raise",
        "        if False:\n            raise",
        "7: no report holds up the other calls",
    ),
    Fault(
        "call/heard_alignment",
        "        yield from (Match(at + a, told + b, size) for a, b, size in blocks)\n",
        "",
        "practice 5: a long report with a number in it is still found",
    ),
    Fault(
        "call/turn",
        "            *self._break_off(),\n            *self._tools.leave(),",
        "            *self._tools.leave(),",
        "6: an abandoned utterance is closed",
    ),
    Fault(
        "call/turn",
        "            *self.drop_reply(),\n            *self._break_off(),\n",
        "            *self._break_off(),\n",
        "2: a new prompt cancels the running reply",
    ),
    Fault(
        "call/conversation",
        "return not self._turn.is_current(reply)",
        "return False",
        "2: output of an abandoned reply changes nothing",
    ),
    Fault(
        "call/turn",
        "return self._is_active and number == self._number",
        "return self._is_active",
        "2: a stale number is not current",
    ),
    Fault("call/turn", "self._number += 1", "self._number = 1", "2: ids are never reused"),
    Fault(
        "call/conversation",
        "return not self._clocks.is_current(timer, serial)",
        "return not self._clocks.is_running(timer)",
        "2: a timer that was replaced is stale",
    ),
    Fault(
        "call/turn",
        "        self._round = 0\n        self._has_retried = False\n        return",
        "        self._has_retried = False\n        return",
        "practice 6: each turn has its own rounds",
    ),
    Fault(
        "call/turn",
        "        self._has_retried = False\n        return",
        "        return",
        "7: each turn may be tried once more",
    ),
    Fault(
        "call/turn",
        "return TurnDecision([*told, *self.ask(self._reply.choice)])",
        "return TurnDecision([*told, *self.ask()])",
        "practice 6: a final round stays one without tools",
    ),
    Fault(
        "call/conversation",
        "            self._notice_caller()\n        elif not has_words",
        "            self._notice_caller()\n        if not has_words",
        "practice 3: partials never act",
    ),
    Fault(
        "call/conversation",
        "elif not has_words(text) or self._ear.has_heard(text):",
        "elif not text or self._ear.has_heard(text):",
        "practice 3: marks alone are no turn",
    ),
    Fault(
        "call/conversation",
        "self._stop_here(self._brief.phrases.goodbye_spent, SPENT)",
        "self._leave_with(self._brief.phrases.goodbye_spent, SPENT)",
        "2: a caller who has spent everything gets no further answer",
    ),
    Fault(
        "call/lifecycle",
        "return self._phase is _Phase.OPEN and not self.is_settled",
        "return self._phase is _Phase.OPEN",
        "3: an end that stands needs no other reason",
    ),
    Fault(
        "usecases/caller_identity",
        'for code in ("+", "+1")',
        'for code in ("+",)',
        "withheld numbers have the code of North America before them, too",
    ),
    Fault(
        "usecases/caller_identity",
        'told.startswith("tn-validation-failed")',
        'told == "tn-validation-failed"',
        "a number that failed its validation at any level is not trusted",
    ),
    Fault(
        "call/turn_taking",
        "        elif is_unfinished(text):",
        "        elif False:",
        "practice 4.4: unfinished words are held",
    ),
    Fault(
        "call/turn",
        "self._clocks.stop(Timer.HOLD, Timer.RETRY, Timer.PLAYBACK, Timer.IDLE)",
        "self._clocks.stop(Timer.RETRY, Timer.PLAYBACK, Timer.IDLE)",
        "2: words that join do not leave a second reply to come",
    ),
    Fault(
        "call/turn_taking",
        "is_acknowledgement(text) and not asks(self._mouth.audible_words)",
        "is_acknowledgement(text)",
        "practice 4.2: yes after a question is an answer",
    ),
    Fault(
        "call/turn_taking",
        " or (is_promised and self._mouth.has_spoken)",
        "",
        "practice 4.2: a nod to a filler does not stop the look-up",
    ),
    Fault(
        "call/turn_taking",
        "(is_promised and self._mouth.has_spoken)",
        "is_promised",
        "practice 4.2: before the agent has promised anything a nod is a turn",
    ),
    Fault(
        "call/agent_output",
        "        self._quiet_since = len(self._audible)\n        self._is_heard = False\n",
        "        self._quiet_since = len(self._audible)\n",
        "practice 3: a missing off is cleared by a time limit",
    ),
    Fault(
        "call/turn",
        "return [*self.drop_reply(), *self.ask(self._reply.choice)]",
        "return self.drop_reply()",
        "7: an interrupt after its prompt does not leave the words unanswered",
    ),
    Fault(
        "call/conversation",
        "is_complete = not self._mouth.is_open\n",
        "is_complete = True\n",
        "3: a reply that went on is marked as cut",
    ),
    Fault(
        "call/agent_output",
        "        self._clear_audible()\n        records",
        "        records",
        "3: a cut is made once",
    ),
    Fault(
        "call/agent_output",
        "if end < start + len(text) or is_open_ended:",
        "if end <= start + len(text) or is_open_ended:",
        "3: what was heard to its end is not cut",
    ),
    Fault(
        "call/agent_output",
        "start += len(text) + 1",
        "start += len(text)",
        "3: the position counts the joints",
    ),
    Fault(
        "call/agent_output",
        "        if not self._has_spoken:\n            self._clear_audible()\n",
        "",
        "3: what an earlier turn said is not cut",
    ),
    Fault(
        "call/agent_output",
        '        self._played = ""\n\n    def _speak_up',
        "\n    def _speak_up",
        "practice 5.5: played texts of an older turn do not count",
    ),
    Fault(
        "call/agent_output",
        'return [Speak(self._utterance, "", is_last=True)]',
        "return []",
        "6: each utterance is closed by exactly one last",
    ),
    Fault(
        "call/agent_output",
        "        self._history.extend_speech(position, rest)\n        return [Speak(",
        "        return [Speak(",
        "5: every word spoken is recorded",
    ),
    Fault(
        "call/history",
        "text=heard, is_cut=True)",
        "text=heard)",
        "practice 4.1: the model is told that it was cut off",
    ),
    Fault(
        "call/heard_alignment",
        "for start in [0, *reversed(later[-_MOST_STARTS:])]:",
        "for start in [0]:",
        "style 13.2: a report may begin with a later message",
    ),
    Fault(
        "call/heard_alignment",
        "[{_UNSPACED}]|{_LETTER}+",
        "{_LETTER}+",
        "practice 5: writing without spaces is cut where it was cut",
    ),
    Fault(
        "call/heard_alignment",
        "        found += 1  # the cut",
        "        at += 1  # the cut",
        "practice 5: a word that was cut in half was not heard",
    ),
    Fault(
        "call/tool_calls",
        "            if run.spec.side_effect is SideEffect.NONE:\n                del",
        "            if run.spec.side_effect is not SideEffect.ONCE:\n                del",
        "4: a side effect is never cancelled",
    ),
    Fault(
        "call/tool_calls",
        "                actions.append(CancelTool(call_id))\n",
        "",
        "4: what was left without side effects is cancelled",
    ),
    Fault(
        "call/tool_calls",
        "            run.awaited.clear()\n",
        "",
        "4: a run that was left is news, not the answer of this turn",
    ),
    Fault(
        "call/tool_calls",
        "            if used.result is None:\n"
        "                return self._joined(reply, call, position)\n"
        "            if not used.result.is_error:",
        "            if used.result and not used.result.is_error:",
        "4: the same call joins the run in progress",
    ),
    Fault(
        "call/tool_calls",
        "            if not used.result.is_error:\n",
        "",
        "4: what has failed may be tried again",
    ),
    Fault(
        "call/tool_calls",
        ", ensure_ascii=False, allow_nan=False",
        ", ensure_ascii=False",
        "1: arguments are JSON to every provider",
    ),
    Fault(
        "call/text",
        'return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")',
        "return text",
        "1: no text has half a character",
    ),
    Fault(
        "call/messages",
        "if not (results and words):",
        "if not results:",
        "1: the agent's word is between results and words",
    ),
    Fault(
        "call/tool_calls",
        "        if self._is_effect(used):\n            self._latest = position",
        "        self._latest = position",
        "4: a look between two equal calls changes nothing",
    ),
    Fault(
        "call/tool_calls",
        "            self._done.clear()\n",
        "",
        "4: equal arguments after another effect may mean something else, also when forgotten",
    ),
    Fault(
        "call/tool_calls",
        "return asked < self._history.first or asked <= self._answered",
        "return True",
        "a model does not confirm in the turn in which it asks",
    ),
    Fault(
        "call/tool_calls",
        "answered = self._history.answered_before(position, is_heard=True)",
        "answered = None",
        "a resumed call knows what the caller has answered",
    ),
    Fault(
        "call/turn",
        "answered_before(self._asked_until, is_heard=True)",
        "answered_before(len(self._history), is_heard=True)",
        "a nod while the model writes confirms nothing",
    ),
    Fault(
        "call/turn",
        "answered_before(self._asked_until, is_heard=True)",
        "answered_before(self._asked_until)",
        "what was cut off before it was heard is not answered",
    ),
    Fault(
        "call/tool_calls",
        "return call.name, canonical(call.arguments) or",
        "return call.name, call.arguments or",
        "4: equal arguments in another spelling are the same call",
    ),
    Fault(
        "call/tool_calls",
        "if spec.side_effect is SideEffect.ONCE and not is_confirmed:",
        "if False:",
        "practice 5.11: yes confirms only what was heard",
    ),
    Fault(
        "call/tool_calls",
        "        run.awaited.add(position)\n",
        "",
        "7: the turn waits for the run it joined",
    ),
    Fault(
        "call/tool_calls",
        "        return actions + starts",
        "        return starts + actions",
        "4: a run is recorded before it starts",
    ),
    Fault(
        "call/turn",
        "self._round >= self._brief.limits.tool_rounds",
        "self._round > self._brief.limits.tool_rounds",
        "practice 6: five rounds",
    ),
    Fault(
        "call/tool_calls",
        "        self._has_news = self._has_news or not run.awaited\n",
        "",
        "4: the caller is told of a late result",
    ),
    Fault(
        "call/conversation",
        "            self._note(LATE_RESULT.format(run.name, event.outcome.content))\n",
        "",
        "4: the model learns of a late result",
    ),
    Fault(
        "call/turn",
        "        self._tools.tell()\n",
        "",
        "4: a late result is told once",
    ),
    Fault(
        "call/conversation",
        "        elif not self._tools.is_awaited:\n            self._follow_turn",
        "        else:\n            self._follow_turn",
        "1: the model is asked when all results are there",
    ),
    Fault(
        "call/history",
        "return isinstance(fact, AgentSaid) and fact.voice is SpeechSource.MODEL",
        "return isinstance(fact, AgentSaid)",
        "practice 5.11: a re-prompt is not what the caller confirms",
    ),
    Fault(
        "call/conversation",
        "        self._actions += run.records\n        if not",
        "        if not",
        "4: a result is recorded even after hang-up",
    ),
    Fault(
        "call/lifecycle",
        "BY_AGENT if was_awaited else self._ending",
        "BY_AGENT if not was_awaited else self._ending",
        "practice 7: a hang-up counts while the caller waits for it",
    ),
    Fault(
        "call/history",
        "            self._caller(CALLER_WAITS)\n",
        "            pass\n",
        "1: a request ends with the caller",
    ),
    Fault(
        "call/summarization",
        "self._limits.kept_turns + 1",
        "self._limits.kept_turns + 2",
        "practice 18: the last turns are read as they were said",
    ),
    Fault(
        "call/summarization",
        "borders = [at for at in may_end if at <= settled]",
        "borders = list(may_end)",
        "practice 18: what is summarised does not change any more",
    ),
    Fault(
        "call/summarization",
        "needed = (audible, answered,",
        "needed = (audible,",
        "practice 5.11: a question that was cut off is not forgotten",
    ),
    Fault(
        "call/turn",
        "answered_before(self._asked_until)",
        "answered_before(len(self._history))",
        "practice 5.11: a nod to what the agent does about it confirms nothing",
    ),
    Fault(
        "call/summarization",
        "needed = (audible, answered, next(open_runs, None))",
        "needed = (audible, answered)",
        "4: a run in progress is not forgotten",
    ),
    Fault(
        "call/summarization",
        "        if self._until or not (",
        "        if not (",
        "practice 18: one summary at a time",
    ),
    Fault(
        "call/summarization",
        "return self._until > 0 and number == self._number",
        "return self._until > 0",
        "2: a summary of another number is stale",
    ),
    Fault(
        "call/summarization",
        "        self._tools.remember(self._history.forget())",
        "        self._history.forget()",
        "4: a forgotten order is not made again",
    ),
    Fault(
        "call/summarization",
        "        self._tools.remember(self._history.forget())",
        "        self._tools.remember(self._history)",
        "practice 18: memory has an end",
    ),
    Fault(
        "call/summarization",
        "        self._patience = turns + limits.kept_turns\n",
        "",
        "practice 18: a model that cannot is not asked at each turn",
    ),
    Fault(
        "call/summarization",
        "f\"Earlier summary: {summary or 'none'}\"",
        '"Earlier summary: none"',
        "practice 18: a summary carries the one before it over",
    ),
    Fault(
        "call/summarization",
        "return _short((words + speech.finish()).translate(_BRACKETS), limit)",
        "return (words + speech.finish()).translate(_BRACKETS)",
        "practice 18: a summary is short",
    ),
    Fault(
        "call/summarization",
        '" ".join([before, *items]).translate(_BRACKETS)',
        '" ".join([before, *items])',
        "practice 19: what was said does not leave its block",
    ),
    Fault(
        "call/tool_calls",
        "self._done.get(key)",
        "self._done.get((call.name, call.arguments))",
        "4: equal arguments are the same call, also when it is forgotten",
    ),
    Fault(
        "call/tool_calls",
        "if key[1] and used.result and not used.result.is_error:",
        "if key[1] and used.result:",
        "4: what has failed may be tried again, also when it is forgotten",
    ),
    Fault(
        "call/conversation",
        "        if not ending:\n            self._actions += self._compaction",
        "        if True:\n            self._actions += self._compaction",
        "practice 18: a call that ends is not summarised",
    ),
    Fault(
        "call/lifecycle",
        "ev.PlaybackReported() | ev.Summarized() | ev.SummaryFailed():",
        "ev.PlaybackReported():",
        "8: a summary after the end changes nothing",
    ),
    Fault(
        "call/history",
        "if not (isinstance(fact, Summary) or _is_of_service(fact))",
        "if not _is_of_service(fact)",
        "practice 16: a summary is no key",
    ),
    Fault(
        "call/history",
        "        if self._summary:\n            projection.add([self._summary])\n",
        "",
        "practice 18: a request begins with the summary",
    ),
    Fault(
        "call/history",
        "        if not self._first <= position < len(self):",
        "        if not position < len(self):",
        "a position is an identity: a forgotten fact is not another one",
    ),
    Fault(
        "call/history",
        "self._start(limit - len(self.summary))",
        "self._start(limit)",
        "practice 18: a summary takes room",
    ),
    Fault(
        "call/history",
        '("reply", fact.reply) if isinstance(fact, ToolUsed)',
        '("reply",) if isinstance(fact, ToolUsed)',
        "1: calls of two replies are two messages",
    ),
    Fault(
        "call/history",
        "            if size > limit and start > self.begin:\n",
        "            if size >= limit and start > self.begin:\n",
        "practice 8.11: what fits is kept",
    ),
    Fault(
        "call/history",
        "    return isinstance(facts[at], CallerSaid) and not (",
        "    return not isinstance(facts[at], AgentSaid) and not (",
        "1: a request begins with the caller, and tool pairs stay whole",
    ),
    Fault(
        "call/conversation",
        "        elif self._floor.is_callers or not self._use_quiet():\n"
        "            self._actions.append(self._floor.listen())",
        "        else:\n            self._use_quiet()",
        "7: silence after the playback is watched",
    ),
    Fault(
        "call/turn",
        "        waiting = self._clocks.stop(Timer.FLUSH, Timer.FILLER)\n        closed",
        "        waiting: list[Action] = []\n        closed",
        "practice 13: no filler follows an apology",
    ),
    Fault(
        "call/turn",
        "return [*self._clocks.stop(Timer.FILLER), *self._mouth.say(words)]",
        "return self._mouth.say(words)",
        "practice 13: no filler when words came",
    ),
    Fault(
        "call/turn_taking",
        "        self._fillers = 0\n        self._silences = 0\n\n    def filler",
        "        self._fillers = 0\n\n    def filler",
        "practice 15: any sign of the caller resets the count",
    ),
    Fault(
        "call/turn_taking",
        "return self._fillers < self._limits.filler_count",
        "return self._fillers <= self._limits.filler_count",
        "practice 13: at most three fillers",
    ),
    Fault(
        "call/turn_taking",
        "        if self._silences >= len(self._limits.idle_ms):",
        "        if self._silences > len(self._limits.idle_ms):",
        "practice 15: two re-prompts, then goodbye",
    ),
    Fault(
        "call/conversation",
        "        self._actions += self._turn.begin()\n        self._course.plan(None)\n",
        "        self._actions += self._turn.begin()\n",
        "practice 15: a caller who speaks takes the end back",
    ),
    Fault(
        "call/ending",
        "return CallEnding(EndReason.TRANSFER, data)",
        "return CallEnding(EndReason.TRANSFER, data, is_revocable=True)",
        "practice 7: a handoff stands",
    ),
    Fault(
        "call/lifecycle",
        "            self._clocks.start(Timer.CLOSING, limits.closing_ms),\n",
        "",
        "8: a relay that does not close is not waited for",
    ),
    Fault(
        "call/conversation",
        "        elif self._is_stopping:\n            self._end_call(HANDED_OVER)\n",
        "",
        "practice 20: a stopping service hands over at the next quiet moment",
    ),
    Fault(
        "call/turn",
        "            self._trouble.end()\n",
        "",
        "practice 10: two failures in a row, not in a call",
    ),
    Fault(
        "call/conversation",
        "return self._course.is_gone and not self._tools.is_unfinished",
        "return self._course.is_gone",
        "8: the call is over when nothing started is unfinished",
    ),
    Fault(
        "call/caller_input",
        "kept = [*self.complete_entry(), self._keep(CallerSaid(text))]",
        "kept = [self._keep(CallerSaid(text))]",
        "practice 16: words complete an entry",
    ),
    Fault(
        "call/caller_input",
        'return KeypadEntry() if digit == "*" else',
        'return KeypadEntry() if digit == "#" else',
        "practice 16: the star takes back, the hash completes",
    ),
    Fault(
        "call/turn",
        "        self._tools.offer(brief.tools)\n",
        "",
        "live edits: what is offered is what the edit says",
    ),
    Fault(
        "call/turn",
        "        self._patience.speak(brief.phrases)\n",
        "",
        "live edits: sentences are the edited ones",
    ),
    Fault(
        "call/conversation",
        "                self._brief = brief\n                self._turn",
        "                self._turn",
        "live edits: keys mean what the edited table says",
    ),
    Fault(
        "call/markup_filter",
        "or self.has_call or self._opening or self._is_of_others:",
        "or self.has_call or self._is_of_others:",
        "D17: thinking is never spoken",
    ),
    Fault(
        "call/markup_filter",
        "                self._is_of_others = True\n",
        "                pass\n",
        "only the channel of the answer is spoken",
    ),
    Fault(
        "call/turn",
        "if self._reply.has_spoken and not self._reply.has_call:",
        "if self._reply.has_spoken:",
        "a tool call in text is asked for again",
    ),
    Fault(
        "call/sentence_chunker",
        "if at - start > _LONGEST_TAG or not _is_open(text[start:at]):",
        "if True:",
        "practice 14: a tag with blanks in it is not spoken",
    ),
    Fault(
        "call/sentence_chunker",
        "and _ABBREVIATION.match(word) is None",
        "",
        "practice 14: an abbreviation ends no sentence",
    ),
    Fault(
        "call/lifecycle",
        "                    self._language = effect.language\n",
        "                    pass\n",
        "17 (practice): a person is told the language switched to last",
    ),
    Fault(
        "call/lifecycle",
        "self._language or brief.language",
        "self._language",
        "17 (practice): a person is told the language of the use case",
    ),
    Fault(
        "call/ending",
        "isinstance(fact, CallerSaid) and fact.means is InputMode.SPEECH",
        "isinstance(fact, CallerSaid)",
        "17 (practice): keys are never told to the person",
    ),
    Fault(
        "call/ending",
        "handoff.summary or _in_the_callers_words(facts)",
        "handoff.summary",
        "17 (practice): without a summary the caller's words stand in",
    ),
    Fault(
        "call/ending",
        "words[-_LONGEST_WORDS:]",
        "words[:_LONGEST_WORDS]",
        "17 (practice): the latest words are kept",
    ),
    Fault(
        "call/ending",
        "sum(size <= room for size in sizes)",
        "room",
        "17 (practice): what is handed over is small",
    ),
    Fault(
        "call/ending",
        'text.encode(errors="ignore").decode()',
        "text",
        "17 (practice): what is handed over can be sent",
    ),
    Fault(
        "call/ending",
        "        if room < 0:\n            return\n",
        "",
        "17 (practice): slots do not take all the room",
    ),
    Fault(
        "call/resumption",
        "    if cause is ResumeCause.NOBODY:\n        return FirstWords(phrases.nobody_free)\n",
        "",
        "practice 17: a caller nobody answered for is told so",
    ),
    Fault(
        "call/resumption",
        "    if resumption.is_caller_cut_off:\n"
        "        return FirstWords(phrases.resumed_unheard)\n",
        "",
        "5: words that never came are asked for",
    ),
    Fault(
        "call/resumption",
        "FirstWords(phrases.resumed, BROKEN_OFF, asks_model=True)",
        "FirstWords(phrases.resumed)",
        "7: the thread of a broken sentence is taken up",
    ),
    Fault(
        "call/turn_taking",
        "began = [] if self._is_callers else [self._ear.notice()]",
        "began: list[Action] = []",
        "5: that the caller began to speak outlives the process",
    ),
    Fault(
        "call/conversation",
        "        self._actions += self._tools.resume()\n",
        "",
        "4: what ran when the line was lost is taken up",
    ),
    Fault(
        "call/turn",
        "Reply(_last_reply(history))",
        "Reply()",
        "2: ids are never reused, also after a break",
    ),
    Fault(
        "call/lifecycle",
        "- limits.duration_warning_ms - elapsed_ms",
        "- limits.duration_warning_ms",
        "a break makes no call longer",
    ),
    Fault(
        "call/conversation",
        "self._end_call(self._course.ending or TORN_OFF)",
        "self._end_call(TORN_OFF)",
        "a call on its way to a person goes there",
    ),
    Fault(
        "call/conversation",
        "        self._actions += self._ear.complete_entry()\n        if departure",
        "        if departure",
        "5: keys typed before a departure are kept",
    ),
    Fault(
        "call/tool_calls",
        "max(map(_minted_number, history), default=0)",
        "0",
        "1: identifiers stay unique after a break",
    ),
    Fault(
        "call/tool_calls",
        "is_lasting=spec.side_effect is not SideEffect.NONE",
        "is_lasting=False",
        "4: a beginning is written down first",
    ),
    Fault(
        "call/tool_calls",
        "twins.get(_key(call)) if is_lasting else None",
        "None",
        "4: two facts of one run are one run after a break",
    ),
    Fault(
        "call/tool_calls",
        "is_awaited=position > turn",
        "is_awaited=True",
        "4: after a break only what the caller waits for is awaited",
    ),
    Fault(
        "call/turn",
        "return TurnDecision([*said, self._clocks.start(Timer.RETRY, again_after_ms)])",
        "return TurnDecision(said, Then.END_TURN)",
        "practice 10: while nothing can be had, we try again by ourselves",
    ),
    Fault(
        "call/conversation",
        "                self._turn.lose_patience()\n",
        "                pass\n",
        "practice 10: patience has an end",
    ),
    Fault(
        "call/turn",
        "ending.farewell(self._brief.phrases) if ending else sentence",
        "sentence",
        "practice 10: the last words of a call are no question",
    ),
    Fault(
        "call/turn_taking",
        "self._mouth.note_played_out() and not (is_ending and self._is_callers)",
        "self._mouth.note_played_out()",
        "practice 15: a call does not end while the caller begins to speak",
    ),
    Fault(
        "call/lifecycle",
        "        if not self.is_closing:\n            self._reason",
        "        if True:\n            self._reason",
        "8: the reason of an end that was carried out stands",
    ),
    Fault(
        "call/turn",
        "            self._broken_off = self._mouth.open_at\n",
        "            pass\n",
        "practice 5.11: yes confirms only what was said to the end",
    ),
    Fault(
        "call/history",
        "if not (isinstance(fact, Summary) or _is_of_service(fact))",
        "if not isinstance(fact, Summary)",
        "practice 16: a sentence of ours is no answer to what was asked",
    ),
    Fault(
        "call/turn_taking",
        "return LONGEST_VOICE_MS if self._is_heard else",
        "return",
        "practice 15: a caller who talks is not asked whether anybody is there",
    ),
    Fault(
        "call/conversation",
        "elif self._floor.is_callers or not self._use_quiet():",
        "elif not self._use_quiet():",
        "practice 20: a call whose caller begins to speak is not quiet",
    ),
)


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
        return _run(tree)


def _copy(tree: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=ignored)
        else:
            shutil.copy(source, tree / name)


def _run(tree: Path) -> str:
    options = ("-x", "-q", "-p", "no:cacheprovider", "--tb=no", "-rfE")
    tests = sorted(tree.glob("tests/call/test_*.py"), key=_turn)[:-1]
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
    found = re.search(r"^(?:FAILED|ERROR) tests/call/(.+?)(?: - .*)?$", ran.stdout, re.MULTILINE)
    return f"caught by {found[1]}" if found else f"NOT RUN: {ran.stdout[-300:]}{ran.stderr[-300:]}"


def _turn(tests: Path) -> tuple[int, str]:
    """Stories first, they are quick; the adversary late; the list of faults last."""
    late = {"test_rules.py": 1, "test_faults.py": 2}
    return late.get(tests.name, -tests.match("*_stories.py")), tests.name


def main() -> int:
    """Run all faults; returns the exit code."""
    parser = argparse.ArgumentParser(description="Break the core one line at a time.")
    parser.add_argument("--list", action="store_true", help="only list the faults")
    parser.add_argument("--jobs", type=int, default=2, help="faults tried at the same time")
    arguments = parser.parse_args()
    if arguments.list:
        for number, fault in enumerate(FAULTS, start=1):
            sys.stdout.write(f"{number:3} {fault.module:9} {fault.promise}\n")
        return 0
    missed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for number, (fault, said) in enumerate(
            zip(FAULTS, pool.map(outcome, FAULTS), strict=True), start=1
        ):
            missed += not said.startswith("caught")
            sys.stdout.write(f"{number:3} {fault.module:9} {fault.promise:70} {said}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(FAULTS) - missed} of {len(FAULTS)} faults are caught\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
