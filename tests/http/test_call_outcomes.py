"""What callers get is counted once per call: rung, connected, failed with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from agent.call.events import ReplyFault
from agent.errors import ModelError, StoreError, UseCaseError
from agent.session.call_outcomes import LOOK_SECONDS, SOCKET_SECONDS, CallOutcomes, failure_of
from agent.simulator.carrier import ACCOUNT, call_fields
from agent.simulator.virtual_time import run_virtually
from agent.store.memory import MemoryStore
from tests.fakes import Clock, Counted
from tests.observability.outages import OUTAGES, Rig, rigged
from tests.servers import ACTION_URL, VOICE_URL, Server, serving, settings_for

LATER = SOCKET_SECONDS + LOOK_SECONDS
REASONS = {
    "auth token wrong or rotated": "signature",
    "use-case record missing": "use_case",
    "use-case record broken": "use_case",
    "set-up crashes": "crash",
    "model refuses requests": "model",
    "table away": "store",
    "socket's host name or certificate wrong": "no_socket",
    "the same, and Twilio reports nothing": "no_socket",
}


def played(script: Callable[[Rig], Awaitable[None]], folder: Path) -> dict[str, float]:
    """The counters of calls after a script on virtual time; `failed` by reason."""

    async def main() -> dict[str, float]:
        async with rigged(folder) as rig:
            await script(rig)
            rig.faults.store_is_away = False
            telemetry, found = rig.server.service.telemetry, {}
            for each in telemetry.copies():
                outcome = each.metric.removeprefix("agent_calls_").removesuffix("_total")
                if outcome in {"rung", "connected", "failed"} and each.numbers[0]:
                    found[" ".join([outcome, *each.labels])] = each.numbers[0]
            return found

    return run_virtually(main())


def test_a_call_rings_and_is_connected(tmp_path: Path) -> None:
    async def two_calls(rig: Rig) -> None:
        await rig.call()
        await rig.call()
        await asyncio.sleep(LATER)

    assert played(two_calls, tmp_path) == {"rung": 2, "connected": 2}


@pytest.mark.parametrize("outage", REASONS)
def test_a_call_that_fails_is_counted_once_with_its_reason(tmp_path: Path, outage: str) -> None:
    async def one_call(rig: Rig) -> None:
        await OUTAGES[outage](rig)
        await rig.call()
        await asyncio.sleep(LATER)

    counted = played(one_call, tmp_path)

    counted.pop("connected", None)  # a model is asked by a call that is connected
    assert counted == {"rung": 1, f"failed {REASONS[outage]}": 1}


def test_a_repeated_webhook_is_one_call(tmp_path: Path) -> None:
    async def repeat(rig: Rig) -> None:
        fields = call_fields()
        for _ in range(3):
            await rig.twilio.post(VOICE_URL, fields)
        await asyncio.sleep(LATER)

    assert played(repeat, tmp_path) == {"rung": 1, "failed no_socket": 1}


def test_a_caller_who_hangs_up_before_the_socket_is_no_failure(tmp_path: Path) -> None:
    async def hang_up(rig: Rig) -> None:
        fields = call_fields()
        relay = await rig.twilio.webhook(fields)
        await rig.twilio.post(relay.action, {**fields, "CallStatus": "completed"})
        await asyncio.sleep(LATER)

    assert played(hang_up, tmp_path) == {"rung": 1}


def test_a_socket_that_came_to_another_process_is_seen_in_the_table(tmp_path: Path) -> None:
    async def go_elsewhere(rig: Rig) -> None:
        fields = call_fields()
        await rig.twilio.webhook(fields)
        await rig.store.put({"pk": fields["CallSid"], "sk": "token::used"})
        await asyncio.sleep(LATER)

    assert played(go_elsewhere, tmp_path) == {"rung": 1}


def test_a_connection_that_breaks_for_good_is_a_failure(tmp_path: Path) -> None:
    """The caller heard the agent, then an apology."""

    async def lose(rig: Rig) -> None:
        relay = await rig.twilio.webhook(call_fields())
        for _ in range(6):
            async with rig.twilio.connect(relay) as call:
                await call.settle()
                ending = await call.fail()
            if ending.answer is None or ending.answer.relay is None:
                return
            relay = ending.answer.relay

    assert played(lose, tmp_path) == {"rung": 1, "connected": 1, "failed connection": 1}


def test_a_draining_process_leaves_a_new_call_to_be_counted_by_another(tmp_path: Path) -> None:
    async def drain(rig: Rig) -> None:
        rig.server.calls.active_calls.drain()
        await rig.twilio.post(VOICE_URL, call_fields())
        await asyncio.sleep(LATER)

    assert played(drain, tmp_path) == {}


def test_a_call_at_capacity_is_rung_and_busy(tmp_path: Path) -> None:
    async def fill(rig: Rig) -> None:
        while rig.server.calls.admission.reserve(str(rig.server.calls.admission.reserved)):
            pass
        await rig.twilio.post(VOICE_URL, call_fields())

    assert played(fill, tmp_path) == {"rung": 1, "failed busy": 1}


@pytest.fixture
async def of_an_account(table: Path) -> AsyncIterator[Server]:
    async with serving(settings_for(table, TWILIO_ACCOUNT_SID=ACCOUNT)) as server:
        yield server


@pytest.mark.parametrize(
    ("url", "fields", "counted"),
    [
        (VOICE_URL, call_fields(), 1),
        (ACTION_URL, call_fields(SessionStatus="failed"), 1),
        (VOICE_URL, call_fields(AccountSid="AC" + "9" * 32), 0),
        (VOICE_URL, call_fields(CallSid="CA-of-a-stranger"), 0),
        (f"{VOICE_URL[:-6]}/calls/status", call_fields(), 0),
    ],
    ids=["a call", "a call in progress", "another account", "no call", "no call of ours"],
)
async def test_a_wrong_signature_fails_a_call_only_if_it_names_our_account(
    of_an_account: Server, url: str, fields: dict[str, str], counted: int
) -> None:
    """Who does not know the account's id cannot make calls fail, nor a deployment roll back."""
    await of_an_account.twilio.post(url, fields, signature="A" * 27 + "=")

    failed = await of_an_account.metric("agent_calls_failed_total", reason="signature")
    assert failed == counted


async def test_without_an_account_a_wrong_signature_is_a_strangers(server: Server) -> None:
    await server.twilio.post(VOICE_URL, call_fields(), signature="A" * 27 + "=")

    assert await server.metric("agent_calls_failed_total", reason="signature") == 0
    assert await server.metric("agent_calls_refused_total", reason="signature") == 1


async def test_time_from_ring_to_greeting_is_measured_once_per_call(server: Server) -> None:
    async with server.twilio.call() as call:
        await call.say("are you open")

    measured = "agent_call_time_to_first_speech_seconds_count"
    assert await server.metric(measured, use_case="restaurantOrderingUseCase") == 1


async def test_version_is_exported(server: Server) -> None:
    assert await server.metric("agent_build_info", version="0.1.0") == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StoreError("away"), "store"),
        (UseCaseError("prompt: is missing"), "use_case"),
        (ModelError(ReplyFault.DENIED), "model"),
        (KeyError("a fault of ours"), "crash"),
    ],
)
def test_an_error_is_a_reason(error: Exception, reason: str) -> None:
    assert failure_of(error) == reason


async def test_a_call_fails_once_for_its_first_reason() -> None:
    counted = Counted()
    outcomes = CallOutcomes(MemoryStore(), counted, Clock())

    outcomes.failed("CA1", "crash")
    outcomes.failed("CA1", "connection")

    assert counted.by("reason", "agent_calls_failed_total") == {"crash": 1.0}
