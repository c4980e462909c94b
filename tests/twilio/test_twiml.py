"""What the carrier is told is well-formed, complete and says what we meant."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twilio.twiml.voice_response import (  # type: ignore[import-untyped] # ships no types
    Connect,
)

from agent.twilio.twiml import (
    app_parameters,
    connect,
    dial,
    empty,
    enqueue,
    enqueue_task,
    hang_up,
    redirect,
    refer,
    say_and_hang_up,
)
from agent.usecases.relay_attributes import ATTRIBUTES, LANGUAGE_ATTRIBUTES, relay_attributes

URL = "wss://voice.example.com/relay?callSid=CA1&t=a%2Fb"
ACTION = "https://voice.example.com/twiml/action?call=1&v=2"


def _read(document: str) -> ET.Element:
    return ET.fromstring(document)  # noqa: S314 # our own document


def _find(document: str, path: str) -> ET.Element:
    element = _read(document).find(path)
    assert element is not None, document
    return element


def test_a_call_is_connected_with_everything_it_needs() -> None:
    """The whole document of a call, as it goes out."""
    document = connect(
        URL,
        ACTION,
        relay_attributes({"speechTimeout": 900, "hints": "Zürich, <Twilio>"}).attributes,
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


def test_the_least_document_has_no_empty_attribute() -> None:
    """Without greeting, settings, languages and parameters only the socket is named."""
    assert connect(URL, ACTION, {}) == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        "<Response>"
        '<Connect action="https://voice.example.com/twiml/action?call=1&amp;v=2" method="POST">'
        '<ConversationRelay url="wss://voice.example.com/relay?callSid=CA1&amp;t=a%2Fb" />'
        "</Connect></Response>"
    )


@pytest.mark.parametrize("name", sorted(set(ATTRIBUTES) - {"url", "welcomeGreeting"}))
def test_every_attribute_of_the_relay_comes_out_as_spelled(name: str) -> None:
    """A name the helper changed would be ignored by the relay without a word."""
    relay = _find(connect(URL, ACTION, {name: "x"}, greeting="Hi."), "Connect/ConversationRelay")

    assert relay.attrib == {"url": URL, "welcomeGreeting": "Hi.", name: "x"}


def test_every_attribute_of_a_language_comes_out_as_spelled() -> None:
    """The same for `<Language>`."""
    language = dict.fromkeys(LANGUAGE_ATTRIBUTES, "x")

    document = connect(URL, ACTION, {}, languages=[language])

    assert _find(document, "Connect/ConversationRelay/Language").attrib == language


def test_the_helper_leaves_camel_case_names_alone() -> None:
    """Behaviour of twilio that we rely on and that it does not document."""
    relay = Connect().conversation_relay(eotThreshold="0.7", ttsProvider="Google", newInY="1")

    assert relay.to_xml(xml_declaration=False) == (
        '<ConversationRelay eotThreshold="0.7" newInY="1" ttsProvider="Google" />'
    )


def test_a_record_cannot_replace_what_the_call_needs() -> None:
    """Url and greeting of the call win over any attribute of the same name."""
    attributes = {"url": "wss://elsewhere.example.com/", "welcomeGreeting": "Boo."}

    relay = _find(connect(URL, ACTION, attributes), "Connect/ConversationRelay")

    assert relay.attrib == {"url": URL}


def test_a_socket_on_the_way_to_a_test_needs_no_certificate() -> None:
    """A local relay may be dialled in clear."""
    document = connect("ws://localhost:3000/", ACTION, {})

    assert _find(document, "Connect/ConversationRelay").attrib == {"url": "ws://localhost:3000/"}


def test_only_a_socket_can_be_connected() -> None:
    """The relay fails with 64102 on any other scheme."""
    with pytest.raises(ValueError, match="must begin with wss://"):
        connect("https://voice.example.com/relay", ACTION, {})


_XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r")
)


@given(_XML_TEXT, _XML_TEXT)
@example("\r\n<&>\"']]>", "\U0010ffff")
@example(" ", "\n")
def test_any_text_survives_the_document(greeting: str, value: str) -> None:
    """Greeting and parameters arrive as they were, whatever characters they have."""
    document = connect(URL, ACTION, {}, parameters={"p": value}, greeting=greeting)

    relay = _find(document, "Connect/ConversationRelay")
    assert relay.get("welcomeGreeting") == (greeting if greeting.strip() else None)
    assert [p.attrib for p in relay] == ([{"name": "p", "value": value}] if value.strip() else [])


@given(st.text(st.characters(codec=None)))
@example("\x00\x0b\ud800\uffff")
def test_no_text_makes_the_document_unreadable(text: str) -> None:
    """Characters that XML cannot hold are left out, wherever a text goes."""
    _read(connect(URL, ACTION, {"hints": text}, parameters={text: text}, greeting=text))
    _read(say_and_hang_up(text, language=text))


def test_a_character_that_xml_cannot_hold_is_left_out() -> None:
    """The rest of the text stays."""
    document = connect(
        URL, ACTION, {}, parameters={"p\x00": "a\x0bb\ud800c", "\x01": "d"}, greeting="\x07"
    )

    relay = _find(document, "Connect/ConversationRelay")
    assert relay.attrib == {"url": URL}
    assert [p.attrib for p in relay] == [{"name": "p", "value": "abc"}]


def test_a_sentence_can_be_said_without_the_relay() -> None:
    assert say_and_hang_up("Sorry & goodbye.\x00") == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        "<Response><Say>Sorry &amp; goodbye.</Say><Hangup /></Response>"
    )
    assert say_and_hang_up("Adiós.", language="es-US") == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Response><Say language="es-US">Adiós.</Say><Hangup /></Response>'
    )


@pytest.mark.parametrize(
    ("destination", "element"),
    [
        ("+15550003333", "<Number>+15550003333</Number>"),
        ("sip:desk@pbx.example.com?x=1&y=2", "<Sip>sip:desk@pbx.example.com?x=1&amp;y=2</Sip>"),
        ("SIPS:desk@pbx.example.com", "<Sip>SIPS:desk@pbx.example.com</Sip>"),
    ],
)
def test_a_person_is_dialled_by_number_or_sip(destination: str, element: str) -> None:
    """The caller hears ringing until the person answers, and the action URL gets the result."""
    assert dial(destination, caller_id="+15550002222", action_url="/twiml/action?dial=1") == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Response><Dial action="/twiml/action?dial=1" answerOnBridge="true"'
        f' callerId="+15550002222" method="POST" timeout="20">{element}</Dial></Response>'
    )


def test_a_person_can_be_shown_the_callers_own_number() -> None:
    """Without a caller id there is no such attribute."""
    assert dial("+15550003333", caller_id="", action_url="/a", timeout_seconds=5) == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Response><Dial action="/a" answerOnBridge="true" method="POST" timeout="5">'
        "<Number>+15550003333</Number></Dial></Response>"
    )


def test_a_user_of_an_app_is_dialled_and_told() -> None:
    """What an app is told are parameters of the call; an empty one is left out."""
    parameters = {"reason": 'a "bill" & co', "summary": ""}

    assert dial("client:ada_1", caller_id="", action_url="/a", parameters=parameters) == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Response><Dial action="/a" answerOnBridge="true" method="POST" timeout="20">'
        "<Client><Identity>ada_1</Identity>"
        '<Parameter name="reason" value="a &quot;bill&quot; &amp; co" /></Client>'
        "</Dial></Response>"
    )
    assert "<Client><Identity>ada_1</Identity></Client>" in dial(
        "client:ada_1", caller_id="", action_url="/a"
    )


def test_a_caller_waits_in_a_queue() -> None:
    assert enqueue("bills & co", action_url="/a?b=1&c=2") == (
        '<?xml version="1.0" encoding="UTF-8"?><Response>'
        '<Enqueue action="/a?b=1&amp;c=2" method="POST">bills &amp; co</Enqueue></Response>'
    )


def test_a_call_becomes_a_task() -> None:
    """Its attributes are JSON; the workflow's own priority needs no attribute."""
    task = {"reason": 'a "bill" <b>', "slots": {"día": "5\x00\uffff"}}

    document = enqueue_task("WW1", task, priority=0, action_url="/a")

    assert document == (
        '<?xml version="1.0" encoding="UTF-8"?><Response>'
        '<Enqueue action="/a" method="POST" workflowSid="WW1"><Task priority="0">'
        '{"reason": "a \\"bill\\" &lt;b&gt;", "slots": {"día": "5\\u0000"}}'
        "</Task></Enqueue></Response>"
    )
    assert "<Task>{}</Task>" in enqueue_task("WW1", {}, priority=None, action_url="/a")


@given(st.dictionaries(st.text(st.characters(codec=None)), st.text(st.characters(codec=None))))
def test_no_text_makes_a_task_unreadable(task: dict[str, str]) -> None:
    """XML around, JSON inside, whatever a caller has said."""
    document = enqueue_task("WW1", task, priority=None, action_url="/a")

    assert isinstance(json.loads(_find(document, "Enqueue/Task").text or ""), dict)


def test_a_switchboard_is_asked_to_call_somebody_else() -> None:
    """Twilio ends any other call (https://www.twilio.com/docs/api/errors/13801)."""
    assert refer("sip:desk@pbx.example.com?X-A=1&X-B=2", action_url="/a") == (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Refer action="/a" method="POST">'
        "<Sip>sip:desk@pbx.example.com?X-A=1&amp;X-B=2</Sip></Refer></Response>"
    )


@pytest.mark.parametrize(
    ("document", "verbs"),
    [
        (
            redirect("https://eu.example.com/twiml?a=1&b=2"),
            '<Redirect method="POST">https://eu.example.com/twiml?a=1&amp;b=2</Redirect>',
        ),
        (
            redirect("https://eu.example.com/", sentence="One <moment>.", pause_seconds=1),
            '<Say>One &lt;moment&gt;.</Say><Pause length="1" />'
            '<Redirect method="POST">https://eu.example.com/</Redirect>',
        ),
        (enqueue("Front & desk"), "<Enqueue>Front &amp; desk</Enqueue>"),
        (enqueue("desk", sentence="Hold\x00 on."), "<Say>Hold on.</Say><Enqueue>desk</Enqueue>"),
        (enqueue("desk", sentence=" "), "<Enqueue>desk</Enqueue>"),
    ],
)
def test_a_call_is_sent_elsewhere(document: str, verbs: str) -> None:
    """With a sentence and a pause before, if there are any."""
    assert document == (f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>')


def test_a_call_is_hung_up_or_over() -> None:
    assert hang_up() == '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup /></Response>'
    assert empty() == '<?xml version="1.0" encoding="UTF-8"?><Response />'


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
    assert app_parameters({"From": caller, **fields}) == parameters
