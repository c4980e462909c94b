"""Plays one scenario on a server, and judges it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

from agent.scenarios.caller_script import CallerScript
from agent.scenarios.expectations import judge, sessions_of, turns_of
from agent.scenarios.outcome import Check, ScenarioRun, Speaker, TranscriptLine
from agent.scenarios.scenario import Scenario
from agent.scenarios.service_facts import ServiceFacts
from agent.scenarios.timing import CallTiming
from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.phone_call import PhoneCall

LONGEST_CALL_SECONDS = 900.0
_IN_FLIGHT_SECONDS, _CLOSING_SECONDS = 0.5, 1.0


async def play(
    scenario: Scenario,
    twilio: Twilio,
    timing: CallTiming,
    facts: ServiceFacts | None = None,
    watch: Callable[[CallerScript], object] = lambda _: None,
) -> ScenarioRun:
    """One call from the ring to its end; without `facts` only what is heard is judged.

    `watch` is given the caller before the call begins.
    """
    if facts is not None:
        await facts.prepare(scenario.items)
    script = caller_of(scenario, strict(twilio), timing)
    watch(script)
    try:
        async with asyncio.timeout(LONGEST_CALL_SECONDS):
            await script.play()
    except TimeoutError:
        endless = Check("length", is_met=False, detail="it has no end", is_harmful=True)
        return await run_of(script, facts, endless)
    return await run_of(script, facts)


async def run_of(script: CallerScript, facts: ServiceFacts | None, *checks: Check) -> ScenarioRun:
    """What came of a call that is over; `checks` are added to its own."""
    scenario, call = script.scenario, script.call
    run = ScenarioRun(scenario.name, scenario.variant, script.timing.seed)
    run.use_case, run.file = scenario.use_case, scenario.file
    run.seconds = asyncio.get_running_loop().time() - script.began_at
    run.checks = [*checks, *await judge(script, facts)]
    run.turns = turns_of(script)
    run.transcript = transcript_of(script)
    run.outcome = call.outcome.value if call.outcome is not None else ""
    if facts is not None:
        run.tokens = await facts.tokens(call.fields["CallSid"])
    return run


def strict(twilio: Twilio) -> Twilio:
    """The same with the time limits that scenarios judge by."""
    manner = replace(
        twilio.manner, in_flight_seconds=_IN_FLIGHT_SECONDS, closing_seconds=_CLOSING_SECONDS
    )
    return replace(twilio, manner=manner)


def caller_of(scenario: Scenario, twilio: Twilio, timing: CallTiming) -> CallerScript:
    """The caller of a scenario, who has not yet called."""
    manner = replace(twilio.manner, pace=timing.agent_pace, language=scenario.caller.language)
    caller = scenario.caller
    fields = call_fields(AccountSid=twilio.account, From=caller.number, To=caller.called)
    return CallerScript(scenario, PhoneCall(replace(twilio, manner=manner), fields), timing)


def transcript_of(script: CallerScript) -> list[TranscriptLine]:
    """What was said so far, by whom, and what happened to the call, in order of time."""
    return sorted(_lines(script), key=lambda line: line.at)


def _lines(script: CallerScript) -> Iterator[TranscriptLine]:
    yield from script.own_lines
    began = script.began_at
    for session in sessions_of(script):
        if greeting := session.relay.attributes.get("welcomeGreeting"):
            yield TranscriptLine(session.session.began_at - began, Speaker.AGENT, greeting)
        for cycle in session.ledger.cycles:
            ended = (end for _, end in session.session.spoken if end >= cycle.opened_at)
            until = next(ended, cycle.opened_at) - began
            text = cycle.text.strip()
            yield TranscriptLine(cycle.opened_at - began, Speaker.AGENT, text, until)
        for at, heard in session.session.cuts:
            yield TranscriptLine(at - began, Speaker.LINE, f"interrupted after {heard!r}")
    for verb in script.call.verbs:
        speaker = Speaker.AGENT if verb.kind == "say" else Speaker.LINE
        yield TranscriptLine(verb.at - began, speaker, verb.text)
