"""Reads TwiML as Twilio does, and says where it is wrong (`docs/reference/relay.md`).

TwiML that is no XML counts as no answer at all (12100). An unknown attribute is ignored with a
warning (12200); an empty one, or a value that is not allowed, can lose the call (64101). `ws://`
is accepted for this machine only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin
from xml.etree import ElementTree as ET

_VERBS = {
    "Connect", "Dial", "Enqueue", "Gather", "Hangup", "Pause", "Play", "Record", "Redirect",
    "Refer", "Reject", "Say", "Start", "Stop",
}  # fmt: skip
_BOOLEAN = re.compile("true|false")
_WHAT = re.compile("none|dtmf|speech|any|true|false")
_LANGUAGE = re.compile("multi|[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_ANY = re.compile(r"[\s\S]+")
_VOICES = re.compile("ElevenLabs|Google|Amazon", re.IGNORECASE)
_RECOGNIZERS = re.compile("Deepgram|Google", re.IGNORECASE)
_LEVEL = re.compile("high|medium|low")
_NORMALIZATION = re.compile("on|auto|off")
_RELAY: Mapping[str, re.Pattern[str]] = {
    "url": re.compile(r"(wss://[^\s/]+|ws://(localhost|127\.0\.0\.1)(:[0-9]+)?)(/\S*)?"),
    "welcomeGreeting": _ANY,
    "welcomeGreetingInterruptible": _WHAT,
    "language": _LANGUAGE,
    "ttsLanguage": _LANGUAGE,
    "transcriptionLanguage": _LANGUAGE,
    "ttsProvider": _VOICES,
    "voice": _ANY,
    "transcriptionProvider": _RECOGNIZERS,
    "speechModel": _ANY,
    "eotThreshold": re.compile(r"0?\.[5-8]\d*|0?\.90*"),
    "eagerEotThreshold": re.compile(r"0?\.[3-8]\d*|0?\.90*"),
    "speechTimeout": re.compile("auto|[6-9][0-9]{2}|[1-4][0-9]{3}|5000"),
    "partialPrompts": _BOOLEAN,
    "deepgramSmartFormat": _BOOLEAN,
    "asrSmartFormat": _BOOLEAN,
    "hints": _ANY,
    "profanityFilter": _BOOLEAN,
    "interruptible": _WHAT,
    "interruptSensitivity": _LEVEL,
    "reportInputDuringAgentSpeech": _WHAT,
    "ignoreBackchannel": _BOOLEAN,
    "preemptible": _BOOLEAN,
    "dtmfDetection": _BOOLEAN,
    "events": re.compile("(?:(?:speaker-events|tokens-played|config-updated)(?: |$))+"),
    "debug": _ANY,
    "elevenlabsTextNormalization": _NORMALIZATION,
    "ttsTextNormalization": _NORMALIZATION,
    "ttsLanguageTextNormalization": _BOOLEAN,
    "elevenlabsLanguageTextNormalization": _BOOLEAN,
    "backgroundNoiseReduction": _ANY,
    "intelligenceService": _ANY,
    "conversationConfiguration": _ANY,
    "conversationId": _ANY,
    "applicationReconnect": _BOOLEAN,
    "echoPromptFiltering": _BOOLEAN,
    "turnDetection": _BOOLEAN,
    "partialPromptOnHangup": _BOOLEAN,
    "includeInPrompt": _ANY,
    "customerName": _ANY,
}  # fmt: skip
_OF_A_LANGUAGE: Mapping[str, re.Pattern[str]] = {
    "code": _LANGUAGE,
    **{
        name: _RELAY[name]
        for name in (
            "ttsProvider", "voice", "transcriptionProvider", "speechModel", "hints",
            "asrSmartFormat", "ttsTextNormalization", "ttsLanguageTextNormalization",
        )
    },
}  # fmt: skip
_ALLOWED: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    "Connect": {"action": _ANY, "method": re.compile("GET|POST")},
    "ConversationRelay": _RELAY,
    "Language": _OF_A_LANGUAGE,
    "Parameter": {"name": _ANY, "value": re.compile(r"[\s\S]*")},
}
_REQUIRED = {"ConversationRelay": "url", "Language": "code", "Parameter": "name"}


@dataclass(frozen=True, slots=True)
class RelayInvitation:
    """`<Connect><ConversationRelay>` as a server wrote it, with the call it was written for."""

    url: str
    """Exactly as in the TwiML: this string is signed."""
    attributes: Mapping[str, str]
    parameters: Mapping[str, str]
    action: str
    """Absolute; empty = there is none."""
    fields: Mapping[str, str]
    """Of the voice webhook."""


@dataclass(frozen=True, slots=True)
class TwimlAnswer:
    """What a webhook answered."""

    status: int
    xml: str
    verbs: tuple[str, ...]
    """In order, e.g. `("Say", "Hangup")`."""
    relay: RelayInvitation | None
    faults: tuple[str, ...] = ()
    """What Twilio would complain about: the code, and the name of what is wrong."""

    @property
    def document(self) -> ET.Element:
        """The verbs as XML; without any if there is none."""
        try:
            return ET.fromstring(self.xml)  # noqa: S314 (of the server under test)
        except ET.ParseError:
            return ET.Element("Response")


def read_twiml(status: int, xml: str, url: str, fields: Mapping[str, str]) -> TwimlAnswer:
    """Read the answer to a request for `url` with these form fields."""
    try:
        response = ET.fromstring(xml)  # noqa: S314 (of the server under test)
    except ET.ParseError:
        return TwimlAnswer(status, xml, (), None, ("12100 no XML",))
    faults = tuple(_faults(response))
    verbs = tuple(verb.tag for verb in response)
    connect = response.find("Connect")
    relay = None if connect is None else connect.find("ConversationRelay")
    if connect is None or relay is None or "url" not in relay.attrib:
        return TwimlAnswer(status, xml, verbs, None, faults)
    action = connect.get("action", "")
    found = RelayInvitation(
        url=relay.attrib["url"],
        attributes=dict(relay.attrib),
        parameters={
            each.get("name", ""): each.get("value", "") for each in relay.iter("Parameter")
        },
        action=urljoin(url, action) if action else "",
        fields=dict(fields),
    )
    return TwimlAnswer(status, xml, verbs, found, faults)


def _faults(response: ET.Element) -> Iterator[str]:
    if response.tag != "Response":
        yield f"12100 <{response.tag}> in place of <Response>"
    for verb in response:
        if verb.tag not in _VERBS:
            yield f"12200 <{verb.tag}> is no verb"
    if response.find(".//ConversationRelay") is not None and response.find(".//Stream") is not None:
        yield "12200 <ConversationRelay> and <Stream> in one answer"
    for element in response.iter():
        yield from _faults_of(element)


def _faults_of(element: ET.Element) -> Iterator[str]:
    allowed = _ALLOWED.get(element.tag)
    if allowed is None:
        return
    if (needed := _REQUIRED.get(element.tag)) and needed not in element.attrib:
        yield f"12200 <{element.tag}> without {needed}"
    for name, value in element.attrib.items():
        if name not in allowed:
            yield f"12200 {name} is no attribute of <{element.tag}>"
        elif not allowed[name].fullmatch(value):
            code = "64102" if name == "url" else "64101"
            yield f"{code} {name} of <{element.tag}>{' is empty' * (not value)}"
