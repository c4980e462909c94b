"""The stamp of a consent, and recordings at a stand-in for Twilio's API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.call.actions import StampConsent, StartRecording
from agent.call.consent import Consent, ConsentMeans
from agent.errors import RecordingError
from agent.ports import Item, uncounted
from agent.session.call_recording import RECORDING, CallRecordings, recordings_of
from agent.session.due_work import DueWork
from agent.store.memory import MemoryStore
from agent.twilio.auth_tokens import AuthTokens
from agent.twilio.call_recorder import open_recorder
from agent.twilio.rest_client import TwilioAccount
from tests.twilio_api import ACCOUNT, TwilioApi, twilio_api

CALL = "CA" + "1" * 32
ADA = "+15550100001"
NOON = 1_800_000_000.0
GIVEN = Consent(is_given=True, means=ConsentMeans.KEY, version="00c0ffee")
START = StartRecording("dual")


@dataclass(frozen=True, slots=True)
class Office:
    """Recordings of one process, its table, Twilio, and the session item of a call."""

    recordings: CallRecordings
    store: MemoryStore
    api: TwilioApi
    item: Item = field(default_factory=lambda: {"pk": CALL, "sk": "connection", "From": ADA})

    async def starts(self) -> list[str]:
        """Begin to record; returns the events that were logged."""
        with capture_logs() as logged:
            await self.recordings.carry_out(self.item, START)
        return [str(line["event"]) for line in logged]

    async def link(self) -> Item:
        found = await self.store.get(CALL, "recording")
        assert found is not None
        return found


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with twilio_api("SK1", "signing") as api:
        account = TwilioAccount(ACCOUNT, AuthTokens(), "SK1", "signing", api.url)
        async with open_recorder(account) as recorder:
            store = MemoryStore()
            yield Office(CallRecordings(store, recorder, lambda: NOON), store, api)


async def test_a_consent_is_stamped_on_the_session_item_once(office: Office) -> None:
    later = StampConsent(Consent(is_given=False, means=ConsentMeans.WORD, version="0"))

    await office.store.put(dict(office.item))
    await office.recordings.carry_out(office.item, StampConsent(GIVEN))
    await office.recordings.carry_out(office.item, later)

    stored = await office.store.get(CALL, "connection")
    stamp = {"state": "given", "means": "key", "text": "00c0ffee", "atMs": 1_800_000_000_000}
    assert stored == {**office.item, "consent": stamp}


async def test_a_recording_is_begun_and_linked_to_its_call(office: Office) -> None:
    assert await office.starts() == ["recording.started"]

    ((recording, of),) = office.api.recordings.items()
    link = await office.link()
    assert of == (CALL, "dual")
    assert (link["recordingSid"], link["channels"]) == (recording, "dual")
    assert "expireAt" not in link
    assert ADA not in str(link)


async def test_a_call_that_is_resumed_is_recorded_once(office: Office) -> None:
    await office.starts()
    await office.starts()

    assert len(office.api.recordings) == 1


async def test_a_recording_whose_answer_was_lost_is_found_and_not_begun_again(
    office: Office,
) -> None:
    office.api.recording_faults = [(0, 0)]

    assert await office.starts() == ["recording.started"]

    assert list(office.api.recordings) == [(await office.link())["recordingSid"]]


async def test_a_process_that_dies_before_the_answer_leaves_one_recording(office: Office) -> None:
    await office.store.put({"pk": CALL, "sk": "recording", "channels": "dual"})
    office.api.recordings["RE9"] = (CALL, "dual")

    await office.starts()

    assert list(office.api.recordings) == ["RE9"]
    assert (await office.link())["recordingSid"] == "RE9"


async def test_a_failure_is_tried_once_more(office: Office) -> None:
    office.api.recording_faults = [(503, 20500)]

    assert await office.starts() == ["recording.started"]
    assert len(office.api.recordings) == 1


async def test_a_refusal_is_logged_and_the_call_goes_on(office: Office) -> None:
    office.api.recording_faults = [(404, 21220)]

    assert await office.starts() == ["recording.not_started"]
    assert office.api.recording_requests == [f"POST Calls/{CALL}/Recordings.json"]


async def test_without_an_account_nothing_is_recorded(office: Office) -> None:
    without = replace(office, recordings=CallRecordings(office.store, None, lambda: NOON))

    assert await without.starts() == ["recording.not_started"]
    assert await office.store.get(CALL, "recording") is None


async def test_every_recording_of_a_call_is_deleted_with_it(office: Office) -> None:
    await office.starts()
    office.api.recordings["RE8"] = (CALL, "dual")
    office.api.recordings["RE9"] = ("CA" + "2" * 32, "dual")

    assert await office.recordings.delete(CALL) == 2
    assert list(office.api.recordings) == ["RE9"]
    assert await office.recordings.delete(CALL) == 1


async def test_a_call_that_was_not_recorded_asks_nothing_of_twilio(office: Office) -> None:
    assert await office.recordings.delete(CALL) == 0
    assert office.api.recording_requests == []


@pytest.mark.parametrize("fault", [(500, 20500), (409, 20409), (401, 20003)])
async def test_a_recording_that_is_not_deleted_is_an_error(
    office: Office, fault: tuple[int, int]
) -> None:
    await office.starts()
    office.api.recording_faults = [fault]

    with pytest.raises(RecordingError, match=f"HTTP {fault[0]}"):
        await office.recordings.delete(CALL)


async def test_without_an_account_a_recording_is_not_called_deleted(office: Office) -> None:
    await office.starts()

    with pytest.raises(RecordingError, match="TWILIO_ACCOUNT_SID"):
        await CallRecordings(office.store, None, lambda: NOON).delete(CALL)


async def test_a_callers_recorded_calls_are_found(office: Office) -> None:
    other: dict[str, Any] = {"pk": "CA2", "sk": "connection", "From": "+15550100002"}
    await office.starts()
    await office.recordings.carry_out(other, START)

    links = await office.store.query_index(recordings_of(ADA))

    assert [link["pk"] for link in links] == [CALL]


def works_of(recordings: CallRecordings, now: float) -> DueWork:
    return DueWork(recordings.store, lambda: now, uncounted, {RECORDING: recordings.expire})


async def test_a_recording_is_deleted_after_its_days_and_its_link_with_it(office: Office) -> None:
    """By any process, once; another call's stays."""
    kept = replace(office.recordings, days=30)
    await replace(office, recordings=kept).starts()
    office.api.recordings["RE9"] = ("CA" + "2" * 32, "dual")
    month = 30 * 86_400

    await works_of(kept, NOON + month - 1).sweep()
    before = len(office.api.recordings)
    with capture_logs() as logged:
        for _ in range(2):
            await works_of(kept, NOON + month).sweep()

    assert before == 2
    assert list(office.api.recordings) == ["RE9"]
    assert [(line["event"], line["recordings"]) for line in logged] == [("recording.expired", 1)]
    assert await office.store.query(CALL) == []


async def test_a_recording_that_twilio_does_not_delete_is_tried_again(office: Office) -> None:
    kept = replace(office.recordings, days=1)
    await replace(office, recordings=kept).starts()
    office.api.recording_faults = [(503, 20500)]

    with capture_logs() as logged:
        await works_of(kept, NOON + 86_400).sweep()
        link = await office.link()
        await works_of(kept, NOON + 86_400 + 600).sweep()

    assert "recordingSid" in link
    assert [line["event"] for line in logged] == ["due_work.failed", "recording.expired"]
    assert office.api.recordings == {}


async def test_a_recording_without_days_is_kept(office: Office) -> None:
    await office.starts()

    await works_of(office.recordings, NOON + 4_000 * 86_400).sweep()

    assert len(office.api.recordings) == 1


async def test_consent_is_counted_once(office: Office) -> None:
    counted: list[tuple[str, dict[str, str]]] = []

    def count(metric: str, amount: float = 1, /, **labels: str) -> None:
        counted.append((metric, labels))

    recordings = replace(office.recordings, count=count)
    item = {**office.item, "useCase": "shop"}
    for given in (True, False):
        stamp = StampConsent(Consent(is_given=given, means=ConsentMeans.KEY, version="0"))
        await recordings.carry_out(item, stamp)

    assert counted == [("agent_consents_total", {"use_case": "shop", "outcome": "given"})]
