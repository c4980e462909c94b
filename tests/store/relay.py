"""A stand-in for the relay's rules: knows two attributes, and refuses one voice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The attributes of the relay."""

    attributes: Mapping[str, str]
    greeting: str
    warnings: tuple[str, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Languages:
    """The further languages."""

    languages: tuple[Mapping[str, str], ...]
    warnings: tuple[str, ...]
    faults: tuple[str, ...] = ()


class Rules:
    """Of an invented relay."""

    def relay_attributes(self, params: Mapping[str, object]) -> Settings:
        if params.get("voice") == "nobody":
            fault = "conversationRelayParams.voice: there is no such voice"
            return Settings({}, "", (), (fault,))
        known = {name: str(params[name]) for name in ("voice", "hints") if name in params}
        unknown = tuple(
            f"conversationRelayParams.{name}: unknown, dropped"
            for name in params
            if name not in known and name != "welcomeGreeting"
        )
        return Settings(known, str(params.get("welcomeGreeting", "")), unknown)

    def language_settings(
        self, records: Iterable[Mapping[str, object]], inherited: Mapping[str, str]
    ) -> Languages:
        languages = tuple(
            {name: str(value) for name, value in record.items()} for record in records
        )
        if not all("code" in language for language in languages):
            return Languages((), (), ("languages[0].code: missing",))
        remarks = tuple(
            f"languages[{index}]: speaks with the voice {inherited.get('voice')}"
            for index, language in enumerate(languages)
            if "voice" not in language
        )
        return Languages(languages, remarks)
