"""The consent of a call, and its recording at the carrier.

The stamp of a consent is an attribute of the session item, written once: state, means, version of
the texts, and time. A recording is linked to its call by an item in the call's partition, which is
written before the carrier is asked: without it there is no recording, and a process that resumes
the call begins no second one. The link does not expire, as the carrier keeps a recording until it
is deleted: at the age of `RECORDING_DAYS` (`agent.session.due_work`), or by `forget`. The index
finds the links of a caller.

    pk   CallSid       pk1   recordings::<digest of the caller>
    sk   recording     sk1   2026-11-28T20:45:12+00:00::CallSid
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from agent.call.actions import ConsentAction, StampConsent
from agent.call.consent import Consent
from agent.errors import RecordingError, StoreError
from agent.ports import Count, Item, Recorder, Store, uncounted
from agent.session.due_work import due_item
from agent.store.call_state import call_item
from agent.usecases.validation import text_in

log = structlog.get_logger(__name__)

RECORDING = "recording"
CONSENT = "consent"
"""Attribute of a session item."""
_ATTEMPTS = 2
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class CallRecordings:
    """The recordings of all calls of a process; `recorder` is None without a Twilio account."""

    store: Store
    recorder: Recorder | None
    clock: Callable[[], float]
    """Seconds of the epoch."""
    days: int = 0
    """Until a recording is deleted; 0 = it is kept."""
    count: Count = uncounted

    async def carry_out(self, item: Item, action: ConsentAction) -> None:
        """Stamp a consent, or begin to record; what fails is logged, and the call goes on.

        `item` is the session item of the call; the stamp is added to it.
        """
        try:
            if isinstance(action, StampConsent):
                await self._stamp(item, action.consent)
            else:
                await self._start(item, action.channels)
        except StoreError as error:
            log.error("consent.write_failed", error=type(error).__name__)
        except RecordingError as error:
            log.error("recording.not_started", reason=str(error))

    async def delete(self, call_sid: str) -> int:
        """Delete what was recorded of a call; returns how many recordings that were.

        The link stays, for a caller that deletes the call's other items with it.

        Raises:
            RecordingError: The carrier did not delete one; ask again later.
            StoreError: The table failed.
        """
        link = await self.store.get(call_sid, RECORDING)
        if link is None:
            return 0
        if self.recorder is None:
            raise RecordingError("TWILIO_ACCOUNT_SID: is needed to delete a recording")
        known = {text_in(link, "recordingSid"), *await self.recorder.recordings(call_sid)} - {""}
        for recording in sorted(known):
            await self.recorder.delete(recording)
        return len(known)

    async def expire(self, call_sid: str) -> None:
        """Delete what was recorded of a call, and its link; as `delete`."""
        deleted = await self.delete(call_sid)
        await self.store.delete(call_sid, RECORDING)
        log.info("recording.expired", recordings=deleted)

    async def _stamp(self, item: Item, consent: Consent) -> None:
        if CONSENT in item:
            return
        outcome = "given" if consent.is_given else "refused"
        use_case = call_item.use_case_of(item)
        self.count("agent_consents_total", use_case=use_case, outcome=outcome)
        item[CONSENT] = {
            "state": outcome,
            "means": str(consent.means),
            "text": consent.version,
            "atMs": int(self.clock() * 1000),
        }
        attributes = {CONSENT: item[CONSENT]}
        await self.store.merge(str(item["pk"]), call_item.CONNECTION, attributes)

    async def _start(self, item: Item, channels: str) -> None:
        if self.recorder is None:
            raise RecordingError("TWILIO_ACCOUNT_SID: is needed to record calls")
        call_sid, caller = str(item["pk"]), call_item.identity_of(item)
        began = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="seconds")
        link: Item = {"pk": call_sid, "sk": RECORDING, "channels": channels}
        link |= {"pk1": recordings_of(caller), "sk1": f"{began}::{call_sid}"}
        beside = [self._due(call_sid)] if self.days else []
        may_exist = not await self.store.put(link, only_if_absent=True, beside=beside)
        known = await self.store.get(call_sid, RECORDING) if may_exist else None
        if known and known.get("recordingSid"):
            return
        recording = await self._begin(self.recorder, call_sid, channels, may_exist=may_exist)
        await self.store.merge(call_sid, RECORDING, {"recordingSid": recording})
        log.info("recording.started")

    def _due(self, call_sid: str) -> Item:
        now = self.clock()
        return due_item(call_sid, RECORDING, now + self.days * _DAY_SECONDS, now)

    async def _begin(
        self, recorder: Recorder, call_sid: str, channels: str, *, may_exist: bool
    ) -> str:
        """Begin one recording; before a second attempt it is looked up whether there is one."""
        for attempt in range(_ATTEMPTS):
            try:
                found = await recorder.recordings(call_sid) if may_exist or attempt else []
                return found[0] if found else await recorder.start(call_sid, channels)
            except RecordingError as error:
                if attempt + 1 == _ATTEMPTS or error.is_refusal:
                    raise
        raise AssertionError("the last attempt returns or raises")


def recordings_of(caller: str) -> str:
    """The key of the index that has the links of a caller's recorded calls."""
    digest = hashlib.sha256(caller.encode(errors="replace")).hexdigest()
    return f"recordings::{digest[:32]}"
