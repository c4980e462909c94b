"""TwiML is well-formed and complete for any text."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twilio.twiml.voice_response import Connect  # type: ignore[import-untyped] # ships no types

from agent.twilio import twiml
from agent.usecases.relay_attributes import ATTRIBUTES, LANGUAGE_ATTRIBUTES, relay_attributes
from agent.usecases.validation import RecordErrors

URL = "wss://voice.example.com/relay?callSid=CA1&t=a%2Fb"
ACTION = "https://voice.example.com/twiml/action?call=1&v=2"


def _read(document: str) -> ET.Element:
    return ET.fromstring(document)  # noqa: S314 # our own document


def _find(document: str, path: str) -> ET.Element:
    element = _read(document).find(path)
    assert element is not None, document
    return element


def _relay(attributes: dict[str, str], *, url: str = URL, greeting: str = "") -> dict[str, str]:
    document = twiml.connect(url, ACTION, attributes, greeting=greeting)
    return _find(document, "Connect/ConversationRelay").attrib


def test_a_call_is_connected_with_everything_it_needs() -> None:
    document = twiml.connect(
        URL,
        ACTION,
        relay_attributes({"speechTimeout": 900, "hints": "Zürich, <Twilio>"}, RecordErrors())[0],
        languages=[{"code": "es-US", "ttsProvider": "Amazon", "voice": "Lupe-Neural"}],
        parameters={"tenantId": 'A "quoted" & co', "empty": ""},
        greeting="Hello, this is the booking line.",
    )

    assert document == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        "<Response>"
        '<Connect action="https://voice.example.com/twiml/action?call=1&amp;v=2" method="POST">'
        '<ConversationRelay dtmfDetection="true" events="speaker-events"'
        ' hints="Zürich, &lt;Twilio&gt;" ignoreBackchannel="true" interruptSensitivity="medium"'
        ' interruptible="any" reportInputDuringAgentSpeech="any" speechTimeout="900"'
        ' transcriptionProvider="Deepgram" ttsProvider="ElevenLabs"'
        ' url="wss://voice.example.com/relay?callSid=CA1&amp;t=a%2Fb"'
        ' voice="UgBBYS2sOqTuMpoF3BR0" welcomeGreeting="Hello, this is the booking line.">'
        '<Language code="es-US" ttsProvider="Amazon" voice="Lupe-Neural" />'
        '<Parameter name="tenantId" value="A &quot;quoted&quot; &amp; co" />'
        "</ConversationRelay></Connect></Response>"
    )


@pytest.mark.parametrize("name", sorted(set(ATTRIBUTES) - {"url", "welcomeGreeting"}))
def test_every_attribute_of_the_relay_comes_out_as_spelled(name: str) -> None:
    assert _relay({name: "x"}, greeting="Hi.") == {"url": URL, "welcomeGreeting": "Hi.", name: "x"}


def test_every_attribute_of_a_language_comes_out_as_spelled() -> None:
    language = dict.fromkeys(LANGUAGE_ATTRIBUTES, "x")

    document = twiml.connect(URL, ACTION, {}, languages=[language])

    assert _find(document, "Connect/ConversationRelay/Language").attrib == language


def test_the_helper_leaves_camel_case_names_alone() -> None:
    """Not documented by the library."""
    relay = Connect().conversation_relay(eotThreshold="0.7", ttsProvider="Google", newInY="1")

    assert relay.to_xml(xml_declaration=False) == (
        '<ConversationRelay eotThreshold="0.7" newInY="1" ttsProvider="Google" />'
    )


def test_url_and_greeting_of_the_call_win_over_attributes() -> None:
    """No attribute is empty; a local socket may use `ws`."""
    elsewhere = {"url": "wss://elsewhere.example.com/", "welcomeGreeting": "Boo."}

    assert _relay(elsewhere) == _relay({}) == {"url": URL}
    assert _relay({}, url="ws://localhost:3000/") == {"url": "ws://localhost:3000/"}


def test_only_a_socket_can_be_connected() -> None:
    """Twilio reports 64102 otherwise (https://www.twilio.com/docs/api/errors/64102)."""
    with pytest.raises(ValueError, match="must begin with wss://"):
        twiml.connect("https://voice.example.com/relay", ACTION, {})


_XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r")
)


@given(_XML_TEXT, _XML_TEXT)
@example("\r\n<&>\"']]>", "\U0010ffff")
@example(" ", "\n")
def test_any_text_survives_the_document(greeting: str, value: str) -> None:
    document = twiml.connect(URL, ACTION, {}, parameters={"p": value}, greeting=greeting)

    relay = _find(document, "Connect/ConversationRelay")
    assert relay.get("welcomeGreeting") == (greeting if greeting.strip() else None)
    assert [p.attrib for p in relay] == ([{"name": "p", "value": value}] if value.strip() else [])


@given(st.text(st.characters(codec=None)))
@example("\x00\x0b\ud800\uffff")
def test_no_text_makes_the_document_unreadable(text: str) -> None:
    _read(twiml.connect(URL, ACTION, {"hints": text}, parameters={text: text}, greeting=text))
    _read(twiml.say_and_hang_up(text, language=text))


def test_a_character_that_xml_cannot_hold_is_left_out() -> None:
    document = twiml.connect(
        URL, ACTION, {}, parameters={"p\x00": "a\x0bb\ud800c", "\x01": "d"}, greeting="\x07"
    )

    relay = _find(document, "Connect/ConversationRelay")
    assert relay.attrib == {"url": URL}
    assert [p.attrib for p in relay] == [{"name": "p", "value": "abc"}]


SIP = "sip:desk@pbx.example.com"


@pytest.mark.parametrize(
    ("document", "verbs"),
    [
        (twiml.hang_up(), "<Hangup />"),
        (twiml.say_and_hang_up("Sorry & bye.\x00"), "<Say>Sorry &amp; bye.</Say><Hangup />"),
        (
            twiml.say_and_hang_up("Adiós.", language="es-US"),
            '<Say language="es-US">Adiós.</Say><Hangup />',
        ),
        (
            twiml.dial("+15550003333", caller_id="+15550002222", action_url="/a?dial=1"),
            '<Dial action="/a?dial=1" answerOnBridge="true" callerId="+15550002222"'
            ' method="POST" timeout="20"><Number>+15550003333</Number></Dial>',
        ),
        (
            twiml.dial(f"{SIP}?x=1&y=2", caller_id="", action_url="/a", timeout_seconds=5),
            '<Dial action="/a" answerOnBridge="true" method="POST" timeout="5">'
            f"<Sip>{SIP}?x=1&amp;y=2</Sip></Dial>",
        ),
        (
            twiml.dial(SIP.replace("sip", "SIPS"), caller_id="", action_url="/a"),
            '<Dial action="/a" answerOnBridge="true" method="POST" timeout="20">'
            "<Sip>SIPS:desk@pbx.example.com</Sip></Dial>",
        ),
        (
            twiml.dial(
                "client:ada_1",
                caller_id="",
                action_url="/a",
                parameters={"reason": 'a "bill" & co', "summary": ""},
            ),
            '<Dial action="/a" answerOnBridge="true" method="POST" timeout="20">'
            "<Client><Identity>ada_1</Identity>"
            '<Parameter name="reason" value="a &quot;bill&quot; &amp; co" /></Client></Dial>',
        ),
        (
            twiml.enqueue("bills & co", action_url="/a?b=1&c=2"),
            '<Enqueue action="/a?b=1&amp;c=2" method="POST">bills &amp; co</Enqueue>',
        ),
        (
            twiml.enqueue_task(
                "WW1",
                {"reason": 'a "bill" <b>', "slots": {"día": "5\x00\uffff"}},
                priority=0,
                action_url="/a",
            ),
            '<Enqueue action="/a" method="POST" workflowSid="WW1"><Task priority="0">'
            '{"reason": "a \\"bill\\" &lt;b&gt;", "slots": {"día": "5\\u0000"}}</Task></Enqueue>',
        ),
        (
            twiml.enqueue_task("WW1", {}, priority=None, action_url="/a"),
            '<Enqueue action="/a" method="POST" workflowSid="WW1"><Task>{}</Task></Enqueue>',
        ),
        (
            twiml.refer(f"{SIP}?X-A=1&X-B=2", action_url="/a"),
            f'<Refer action="/a" method="POST"><Sip>{SIP}?X-A=1&amp;X-B=2</Sip></Refer>',
        ),
        (
            twiml.redirect("https://eu.example.com/twiml?a=1&b=2"),
            '<Redirect method="POST">https://eu.example.com/twiml?a=1&amp;b=2</Redirect>',
        ),
        (
            twiml.redirect("https://eu.example.com/", sentence="One <moment>.", pause_seconds=1),
            '<Say>One &lt;moment&gt;.</Say><Pause length="1" />'
            '<Redirect method="POST">https://eu.example.com/</Redirect>',
        ),
        (twiml.enqueue("Front & desk"), "<Enqueue>Front &amp; desk</Enqueue>"),
        (
            twiml.enqueue("desk", sentence="Hold\x00 on."),
            "<Say>Hold on.</Say><Enqueue>desk</Enqueue>",
        ),
        (twiml.enqueue("desk", sentence=" "), "<Enqueue>desk</Enqueue>"),
    ],
)
def test_each_document_has_its_verbs(document: str, verbs: str) -> None:
    """An empty attribute or parameter is left out, and what XML cannot hold."""
    assert document == f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>'


def test_document_of_a_call_that_is_over_is_empty() -> None:
    assert twiml.empty() == '<?xml version="1.0" encoding="UTF-8"?><Response />'


@given(st.dictionaries(st.text(st.characters(codec=None)), st.text(st.characters(codec=None))))
def test_no_text_makes_a_task_unreadable(task: dict[str, str]) -> None:
    document = twiml.enqueue_task("WW1", task, priority=None, action_url="/a")

    assert isinstance(json.loads(_find(document, "Enqueue/Task").text or ""), dict)


@pytest.mark.parametrize(
    ("caller", "fields", "parameters"),
    [
        ("client:ada", {"app_screen": "basket & <more>"}, {"app_screen": "basket & <more>"}),
        ("client:ada", {"app": "x", "App_screen": "x", "app_": "x", "app_a b": "x"}, {}),
        ("client:ada", {"app_<Hangup/>": "x", "app_" + "n" * 33: "x", "screen": "x"}, {}),
        ("client:ada", {"app_long": "x" * 201, "app_none": "", "app_line": "a\nb"}, {}),
        (
            "client:ada",
            {f"app_{letter}": letter * 200 for letter in "ihgfedcba"},
            {f"app_{letter}": letter * 200 for letter in "abcdefgh"},
        ),
        ("+15550100001", {"app_screen": "basket"}, {}),
    ],
)
def test_app_may_pass_eight_short_parameters_with_the_prefix(
    caller: str, fields: dict[str, str], parameters: dict[str, str]
) -> None:
    """A caller on a telephone passes none."""
    assert twiml.app_parameters({"From": caller, **fields}) == parameters
