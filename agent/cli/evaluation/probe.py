"""The `probe` command: one call with one question, after a deploy and on a schedule.

It is a real call for the service: it is recorded, counted and paid for like one. The agent's speech
takes no time, so a probe is over in the time of an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import aiohttp

from agent.cli.command import UNUSABLE, Commands, positive
from agent.cli.evaluation.server_address import ServerAddress, add_address, address_in
from agent.errors import AgentError
from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.simulated_call import AgentReply, Manner, NoReplyError, TwilioCall
from agent.simulator.twiml_reader import RelayInvitation, TwimlAnswer

_FAILED = 1
_WITHIN_SECONDS = 5.0
_QUESTION = "are you open"
_NUMBER = "+15550100099"
_SLOWEST_SOCKET_SECONDS = 10.0
_SIGNATURE = (
    "check that TWILIO_AUTH_TOKEN and TWILIO_ACCOUNT_SID are the service's, and that --public-url"
    " or URL is the origin of its WS_URL"
)


class ProbeError(AgentError):
    """A step of the call has failed; says which one, and what to do."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A call that went well; seconds."""

    first_text: float
    """From the question to the first text."""
    answer: float
    """From the question to the end of the answer."""
    webhook: float
    socket: float
    action: float

    def __str__(self) -> str:
        return (
            f"ok {self.first_text:.2f} s to the first word, {self.answer:.2f} s to the end of the"
            f" answer (webhook {self.webhook:.2f}, socket {self.socket:.2f}, action URL"
            f" {self.action:.2f})"
        )


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "call a server once and ask a question; exit status 0 ok, 1 failed, 2 usage"
    probing = commands.add_parser("probe", help=purpose, description=purpose)
    add_address(probing)
    probing.add_argument(
        "--within",
        type=positive,
        default=_WITHIN_SECONDS,
        metavar="SECONDS",
        help=f"limit for the answer (default {_WITHIN_SECONDS:g})",
    )
    probing.add_argument(
        "--question", default=_QUESTION, metavar="TEXT", help=f"default: {_QUESTION}"
    )
    probing.add_argument(
        "--from", dest="caller", default=_NUMBER, metavar="NUMBER", help=f"default {_NUMBER}"
    )
    probing.add_argument(
        "--to", dest="called", default="+15550100000", metavar="NUMBER", help="the number called"
    )
    probing.set_defaults(run=_run, status_of_fault=UNUSABLE)


async def _run(asked: argparse.Namespace) -> int:
    address = address_in(asked)
    fields = call_fields(AccountSid=address.account, From=asked.caller, To=asked.called)
    try:
        print(await probe(address, asked.question, asked.within, fields))
    except ProbeError as error:
        print(f"failed: {error}", file=sys.stderr)
        return _FAILED
    return 0


async def probe(
    address: ServerAddress, question: str, within: float, fields: dict[str, str]
) -> ProbeResult:
    """One call; raises `ProbeError` at the first step that fails.

    Args:
        address: Of the server.
        question: What the caller asks.
        within: Seconds from the question to the end of the answer.
        fields: Of the voice webhook.
    """
    clock = asyncio.get_running_loop().time
    async with address.open() as twilio:
        began = clock()
        relay = await _ring(replace(twilio, manner=Manner(answer_seconds=within)), fields)
        rang = clock()
        with _explained("the socket"):
            async with (
                asyncio.timeout(_SLOWEST_SOCKET_SECONDS + within) as limit,
                twilio.connect(relay, manner=Manner(answer_seconds=within)) as call,
            ):
                connected = clock()
                reply, took = await _ask(call, question, within)
                limit.reschedule(clock() + _SLOWEST_SOCKET_SECONDS)
                _judge(call)
                at = clock()
                await _hang_up(call)
    return ProbeResult(reply.first_text_seconds, took, rang - began, connected - rang, clock() - at)


async def _ring(twilio: Twilio, fields: dict[str, str]) -> RelayInvitation:
    """The webhook, and the TwiML of its answer."""
    with _explained("the voice webhook"):
        answer = await twilio.post(twilio.voice_url, fields)
    _require_ok("the voice webhook", answer)
    if answer.faults:
        raise ProbeError(f"the TwiML is not valid: {'; '.join(answer.faults)}")
    if answer.relay is None:
        raise ProbeError(
            f"the call was not taken ({'+'.join(answer.verbs) or 'no verb'}): the service is at a"
            " limit, is stopping or has no use case for this caller; see its log"
        )
    return answer.relay


async def _ask(call: TwilioCall, question: str, within: float) -> tuple[AgentReply, float]:
    clock = asyncio.get_running_loop().time
    await call.play_out()
    await call.prompt(question)
    asked_at = clock()
    try:
        reply = await call.reply()
    except NoReplyError as error:
        begun = any(cycle.turn == call.ledger.turn for cycle in call.ledger.cycles)
        what = "the answer had no end" if begun else "there was no answer"
        if call.session.ending is not None:
            what = f"the service ended the session ({call.session.ending.status})"
        raise ProbeError(
            f"{what} within {within:g} s; see the service's log and the metric"
            " agent_llm_errors_total, or raise --within"
        ) from error
    last = max((cycle.closed_at or 0.0) for cycle in call.ledger.cycles)
    return reply, last - asked_at


def _judge(call: TwilioCall) -> None:
    if call.ledger.departures:
        kinds = "; ".join(str(fault) for fault in call.ledger.departures)
        raise ProbeError(f"the service departs from the protocol: {kinds}")


async def _hang_up(call: TwilioCall) -> None:
    """Hang up, and hear what the action URL answers."""
    with _explained("the action URL"):
        report = await call.hang_up()
    if report.answer is not None:
        _require_ok("the action URL", report.answer)


def _require_ok(what: str, answer: TwimlAnswer) -> None:
    if answer.status == 200:
        return
    remedy = {
        403: f"the signature is not accepted; {_SIGNATURE}",
        404: "there is no such path; check URL",
        503: "the service is stopping, or at a limit",
    }.get(answer.status, "see the service's log")
    raise ProbeError(f"{what} answered with status {answer.status}: {remedy}")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Faults of the network as a `ProbeError`."""
    try:
        yield
    except aiohttp.WSServerHandshakeError as error:
        remedy = f"; {_SIGNATURE}" if error.status == 403 else "; see the service's log"
        raise ProbeError(f"{what} was refused with status {error.status}{remedy}") from error
    except TimeoutError as error:
        raise ProbeError(f"{what} was not done in time; is the service overloaded?") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise ProbeError(
            f"{what} cannot be reached: {reason}; check URL, the service's health and its TLS"
            " certificate"
        ) from error
