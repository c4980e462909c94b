"""TwiML is read as strictly as Twilio reads it."""

from __future__ import annotations

import pytest

from agent.simulator.twiml_reader import TwimlAnswer, read_twiml

URL = "https://voice.example.com/twiml?a=1"


def answer(relay: str = "", *, inside: str = "", connect: str = "") -> TwimlAnswer:
    """An answer with these attributes and elements."""
    tag = f'<ConversationRelay url="wss://voice.example.com/" {relay}>{inside}</ConversationRelay>'
    return read(f"<Response><Connect {connect}>{tag}</Connect></Response>")


def read(xml: str) -> TwimlAnswer:
    return read_twiml(200, xml, URL, {"CallSid": "CA1"})


def test_invitation_is_read() -> None:
    """The URL as it was written, the action URL absolute, parameters by name."""
    given = '<Parameter name="a" value="1 &amp; 2"/><Parameter name="b"/><Language code="es-MX"/>'

    found = answer('welcomeGreeting="Hi!"', inside=given, connect='action="action?b=2"')

    relay = found.relay
    assert relay is not None
    assert found.faults == ()
    assert found.verbs == ("Connect",)
    assert relay.url == "wss://voice.example.com/"
    assert relay.attributes == {"url": relay.url, "welcomeGreeting": "Hi!"}
    assert relay.parameters == {"a": "1 & 2", "b": ""}
    assert relay.action == "https://voice.example.com/action?b=2"
    assert relay.fields == {"CallSid": "CA1"}


def test_verbs_without_a_relay_are_named_in_order() -> None:
    found = read("<Response><Say>Goodbye.</Say><Pause length='2'/><Hangup/></Response>")

    assert (found.verbs, found.relay, found.faults) == (("Say", "Pause", "Hangup"), None, ())
    assert [verb.tag for verb in found.document] == ["Say", "Pause", "Hangup"]


@pytest.mark.parametrize("xml", ["", "busy", "<Response>", "<Response/><Response/>"])
def test_text_that_is_no_xml_is_no_answer(xml: str) -> None:
    found = read(xml)

    assert (found.verbs, found.relay, found.faults) == ((), None, ("12100 no XML",))
    assert len(found.document) == 0


@pytest.mark.parametrize(
    ("xml", "fault"),
    [
        ("<response/>", "12100 <response> in place of <Response>"),
        ("<Response><Speak/></Response>", "12200 <Speak> is no verb"),
        ("<Response><Connect><ConversationRelay/></Connect></Response>",
         "12200 <ConversationRelay> without url"),
        ('<Response><Connect action=""><Room/></Connect></Response>',
         "64101 action of <Connect> is empty"),
        ('<Response><Connect><ConversationRelay url="wss://a"/><Stream/></Connect></Response>',
         "12200 <ConversationRelay> and <Stream> in one answer"),
    ],
)  # fmt: skip
def test_wrong_structure_is_named(xml: str, fault: str) -> None:
    assert read(xml).faults == (fault,)


@pytest.mark.parametrize(
    ("relay", "fault"),
    [
        ('langauge="en-US"', "12200 langauge is no attribute of <ConversationRelay>"),
        ('language=""', "64101 language of <ConversationRelay> is empty"),
        ('language="en_US"', "64101 language of <ConversationRelay>"),
        ('interruptible="yes"', "64101 interruptible of <ConversationRelay>"),
        ('dtmfDetection="True"', "64101 dtmfDetection of <ConversationRelay>"),
        ('ttsProvider="Microsoft"', "64101 ttsProvider of <ConversationRelay>"),
        ('speechTimeout="599"', "64101 speechTimeout of <ConversationRelay>"),
        ('eotThreshold="0.4"', "64101 eotThreshold of <ConversationRelay>"),
        ('events="speaker-events,tokens-played"', "64101 events of <ConversationRelay>"),
    ],
)
def test_wrong_attribute_is_named(relay: str, fault: str) -> None:
    assert answer(relay).faults == (fault,)


@pytest.mark.parametrize(
    "relay",
    [
        'language="multi"', 'language="zh-Hans-CN"', 'interruptible="dtmf"', 'preemptible="true"',
        'ttsProvider="elevenlabs"', 'transcriptionProvider="Deepgram"', 'speechTimeout="600"',
        'speechTimeout="auto"', 'eotThreshold="0.9"', 'eagerEotThreshold=".3"',
        'events="speaker-events tokens-played"', 'interruptSensitivity="low"',
        'ttsTextNormalization="auto"', 'hints="Größe, 東京"', 'debug="speaker-events"',
    ],
)  # fmt: skip
def test_documented_values_are_allowed(relay: str) -> None:
    assert answer(relay).faults == ()


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("wss://voice.example.com/a/b?c=d", True),
        ("wss://voice.example.com:8443", True),
        ("ws://localhost:3000/", True),
        ("ws://127.0.0.1/", True),
        ("ws://voice.example.com/", False),
        ("https://voice.example.com/", False),
        ("voice.example.com", False),
        ("", False),
    ],
)
def test_socket_must_be_secure_unless_it_is_on_this_machine(url: str, is_allowed: bool) -> None:
    xml = f'<Response><Connect><ConversationRelay url="{url}"/></Connect></Response>'

    faults = read(xml).faults

    assert [fault.split()[0] for fault in faults] == ([] if is_allowed else ["64102"])


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ("<Language/>", "12200 <Language> without code"),
        ('<Language code="en-US" voice=""/>', "64101 voice of <Language> is empty"),
        ('<Language code="en-US" rate="1"/>', "12200 rate is no attribute of <Language>"),
        ('<Parameter value="1"/>', "12200 <Parameter> without name"),
    ],
)
def test_wrong_elements_of_a_relay_are_named(inside: str, fault: str) -> None:
    assert answer(inside=inside).faults == (fault,)
