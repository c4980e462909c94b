"""What serves while a provider of speech is down: what an author writes → attributes of the relay.

    [backup_voice]                          [backup_transcription]
    provider = "Amazon"                     provider = "Google"
    voice = "Joanna-Neural"                 model = "telephony"
    language = "en-US"     # optional       language = "en-US"     # optional

The record keeps the tables as they are, in `backupVoice` and `backupTranscription`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from agent.usecases.validation import Faults, decoded, tolerant


class BackupVoice(msgspec.Struct):
    """Who speaks."""

    provider: Literal["ElevenLabs", "Google", "Amazon"]
    voice: str = ""
    language: str = ""


class BackupTranscription(msgspec.Struct):
    """Who listens."""

    provider: Literal["Deepgram", "Google"]
    model: str = ""
    language: str = ""


def read_backup(
    raw: object,
    field: str,
    wanted: type[BackupVoice] | type[BackupTranscription],
    faults: Faults,
) -> Mapping[str, str]:
    """The attributes of the relay; empty if nothing is given, or it is wrong."""

    def read() -> dict[str, str]:
        given = decoded(raw, field)
        return _attributes(tolerant(given, wanted, field, faults)) if given else {}

    found = faults.unless(read, dict[str, str]())
    if any(len(text) > _LONGEST for text in found.values()):
        faults.add(f"{field}: is too long")
        return {}
    return {name: text.strip() for name, text in found.items() if text.strip()}


_LONGEST = 500


def _attributes(backup: BackupVoice | BackupTranscription) -> dict[str, str]:
    if isinstance(backup, BackupVoice):
        language = {"ttsLanguage": backup.language}
        return {"ttsProvider": backup.provider, "voice": backup.voice, **language}
    language = {"transcriptionLanguage": backup.language}
    return {
        "transcriptionProvider": backup.provider, "speechModel": backup.model, **language,
    }  # fmt: skip
