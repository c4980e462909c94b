"""`eval` notices faults of the service: each is planted into a copy and must be found by name.

A copy is the package with one line changed. It plays the scenario that is meant for the fault,
once, and the check that is named must be among those that are not met.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.cli.evaluation.hosted_service import SETTINGS
from tests.faults import CORE, ROOT

SCENARIOS = ROOT / "tests/data/conformance/use-cases/conformance/scenarios"
SHIPPED = ROOT / "configuration/use-cases/restaurantOrderingUseCase/scenarios"


@dataclass(frozen=True, slots=True)
class BrokenCopy:
    """In this module, `old` became `new`; the scenario notices it by this check."""

    name: str
    module: str
    old: str
    new: str
    scenario: str
    check: str


def _copies() -> tuple[BrokenCopy, ...]:
    relay, socket = "twilio/relay_frames", "http/relay_socket"
    frame = "                action.is_last,\n                lang="
    return tuple(
        BrokenCopy(*fault)
        for fault in (
            ("missing last", relay, frame, frame.replace("action.is_last", "False"),
             "goodbye", "protocol: not_closed"),
            ("last twice", socket, "        frame = relay.render(action)\n",
             "        frame = relay.render(action)\n"
             "        if getattr(action, 'is_last', False):\n"
             "            await self._socket.send_frame(frame, WSMsgType.TEXT)\n"
             "            frame = b'{\"type\":\"text\",\"token\":\"\",\"last\":true}'\n",
             "goodbye", "protocol: no_words"),
            ("empty cycle", "call/agent_output",
             "        return [self._append(AgentSaid(text, SpeechSource.GREETING))]",
             "        empty = Speak(self._utterance, '', is_last=True)\n"
             "        return [empty, self._append(AgentSaid(text, SpeechSource.GREETING))]",
             "goodbye", "protocol: no_words"),
            ("token null", relay, "                _characters(action.text),\n",
             "                _characters(action.text) or None,  # type: ignore\n",
             "barge-in", "protocol: bad_frame"),
            ("text after end", socket,
             "        if self._has_ended or self._socket.closed:\n            return\n",
             "        if self._socket.closed:\n            return\n"
             "        if isinstance(action, EndCall):\n"
             "            await self._socket.send_frame(relay.render(action), WSMsgType.TEXT)\n"
             "            frame = b'{\"type\":\"text\",\"token\":\"Bye.\",\"last\":true}'\n"
             "            await self._socket.send_frame(frame, WSMsgType.TEXT)\n"
             "            return\n",
             "goodbye", "protocol: after_end"),
            ("closed without end", socket,
             "        self._has_ended = isinstance(action, EndCall)\n",
             "        self._has_ended = isinstance(action, EndCall)\n"
             "        if self._has_ended:\n            return await self.close()\n",
             "goodbye", "protocol: hung_up_on"),
            ("goodbye not played", "call/conversation",
             "        limits, ending = self._config.limits, self._lifecycle.ending\n",
             "        limits, ending = self._config.limits, self._lifecycle.ending\n"
             "        if ending:\n            return self._end_call(ending)\n",
             "goodbye", "goodbye heard"),
            ("end ignored", "tools/builtin/call_control",
             '"The call ends after your goodbye."}, HangUp())',
             '"The call ends after your goodbye."}, None)',
             "goodbye", "outcome"),
            ("greeting missing", "http/call_twiml",
             "        greeting=prepared.greeting,\n", "        greeting='',\n",
             "goodbye", "greeting"),
            ("unknown attribute", "http/call_twiml",
             "    query = urlencode({\"callSid\"", "    relay = {**relay, 'colour': 'blue'}\n"
             "    query = urlencode({\"callSid\"",
             "goodbye", "protocol: bad_twiml"),
            ("unpaired tool result", "call/tool_calls",
             "        return records, \"\" if run.awaited else late",
             "        return [], \"\" if run.awaited else late",
             "keys", "tool without a result"),
            ("double answer", "call/agent_output",
             "        return [*closing, speak, self._append(AgentSaid(text, source))]",
             "        return [*closing, speak, speak, self._append(AgentSaid(text, source))]",
             "keys", "double answer"),
            ("keys ignored", "call/conversation", "                self._take_key(digit)\n",
             "                pass\n", "keys", "dead air"),
            ("stale text", "call/turn",
             "        return [\n            *self.drop_reply(),\n            *self._break_off(),\n",
             "        return [\n            *self._break_off(),\n",
             "barge-in", "script"),
            ("late close", "call/turn",
             "            *self._break_off(),\n            *self._tools.leave(",
             "            *self._tools.leave(",
             "barge-in", "protocol: not_closed"),
            ("wrong heard text", "call/agent_output",
             "        self.clear_audible()\n        records: list",
             "        end = len(sent)\n        self.clear_audible()\n        records: list",
             "barge-in", "heard text"),
            ("words after a barge-in lost", "call/conversation",
             "        elif not has_words(event.text) or self._input",
             "        elif self._turn_taking.is_callers or self._input",
             "barge-in", "dead air"),
            ("silence not broken", "call/config", "idle_ms: tuple[int, ...] = (8_000, 10_000)",
             "idle_ms: tuple[int, ...] = (80_000, 10_000)", "barge-in", "script"),
            ("wrong language", relay,
             "lang=_tag(action.language) if action.language else UNSET", "lang='en-US'",
             "language", "language"),
            ("partial prompt answered", relay,
             "            is_final = frame.last not in (False, \"false\")\n",
             "            is_final = True\n",
             "noise", "never said 'third'"),
            ("noise answered", "call/conversation",
             "        elif not has_words(event.text) or self._input", "        elif self._input",
             "noise", "never said 'third'"),
            ("nod answered", "call/turn_taking",
             "is_backchannel = is_nod and not asks(", "is_backchannel = False and not asks(",
             "nod", "never said 'third'"),
            ("order placed twice", "tools/idempotency",
             "_CANONICAL.encode([self._call_id, effect, content])",
             "_CANONICAL.encode([token_hex(8), effect, content])",
             "order", "table restaurantOrder::"),
            ("order before the answer", "call/tool_calls",
             "if needs_confirmation and (fault :=", "if False and (fault :=",
             "early-order", "table restaurantOrder::"),
            ("confirmation ignored", "call/heard_confirmation",
             "    return NOT_NAMED.format(\", \".join(missing)) if missing else \"\"",
             "    return \"\"",
             "early-confirmation", "tool SaveEmailFunction"),
            ("transfer ignored", "call/lifecycle",
             "            self.ending = self._transfer(effect, config)\n", "            pass\n",
             "person", "transfer"),
            ("action URL missing", "http/call_twiml",
             "        action_url(settings, use_case.name, fields),\n        relay,",
             "        '',\n        relay,",
             "lost-line", "outcome"),
            ("resumed without history", "session/resume",
             "        facts=loaded.facts,\n", "        facts=(),\n",
             "line-lost-in-mid-order", "table restaurantOrder::"),
        )
    )  # fmt: skip


COPIES = _copies()


def unmet_checks(copy: BrokenCopy, tree: Path) -> list[str]:
    """The checks that are not met when the copy in this folder plays its scenario."""
    module = tree / "agent" / f"{copy.module}.py"
    text = module.read_text(encoding="utf-8")
    assert text.count(copy.old) == 1, f"{copy.module}: {text.count(copy.old)} times {copy.old!r}"
    module.write_text(text.replace(copy.old, copy.new), encoding="utf-8")
    folder = SCENARIOS if (SCENARIOS / f"{copy.scenario}.yaml").exists() else SHIPPED
    report = tree / "report.json"
    command = ["-m", "agent", "eval", str(folder / f"{copy.scenario}.yaml")]
    options = ["--timing", "0", "--jobs", "1", "--json", str(report)]
    ran = subprocess.run(  # noqa: S603 (our own interpreter, a copy of our own code)
        [sys.executable, *command, *options],
        cwd=tree,
        env={**os.environ, **SETTINGS, "PRICES_FILE": str(ROOT / "configuration/prices.toml")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1, f"status {ran.returncode}: {ran.stdout}{ran.stderr}"
    runs = json.loads(report.read_text(encoding="utf-8"))["runs"]
    return [check["name"] for run in runs for check in run["checks"] if not check["is_met"]]


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.name)
def test_each_broken_copy_is_found_by_name(copy: BrokenCopy, tmp_path: Path) -> None:
    """The scenario that is meant for the fault fails, and names what is wrong."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CORE, tmp_path / "agent", ignore=ignored)

    assert copy.check in unmet_checks(copy, tmp_path)
