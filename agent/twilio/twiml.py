"""TwiML documents (https://www.twilio.com/docs/voice/twiml), built with the twilio library.

Relay attributes keep their camelCase spelling, which the library leaves alone (a test pins that),
so attributes that it does not know work as well. Characters that XML 1.0 cannot hold are removed,
because one of them loses the call. An empty attribute is left out, because Twilio may refuse it
(64101). Not written: `<Failover>`, whose attributes are not documented. Twilio requests
an `action_url` by POST when the session, the transfer or the wait is over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from twilio.twiml.voice_response import VoiceResponse  # type: ignore[import-untyped] # ships no types

from agent.usecases.relay_attributes import ATTRIBUTES

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def connect(
    url: str,
    action_url: str,
    attributes: Mapping[str, str],
    *,
    languages: Iterable[Mapping[str, str]] = (),
    parameters: Mapping[str, str] | None = None,
    greeting: str = "",
) -> str:
    """Connect the call to ConversationRelay, which plays the greeting at once.

    `url` is where Twilio opens the relay socket, exactly as it will be signed; `ValueError` if it
    is no WebSocket URL. `attributes` and `languages` are as `relay_attributes` and
    `language_settings` return them. `parameters` are the `customParameters` of the `setup` frame;
    Twilio logs them, so never secrets.
    """
    ours = {"url": ATTRIBUTES["url"](url), "welcomeGreeting": greeting}
    response = VoiceResponse()
    relay = response.connect(action=action_url, method="POST").conversation_relay(
        **_present({**attributes, **ours})
    )
    for language in languages:
        relay.language(**_present(language))
    for name, value in _present(parameters or {}).items():
        relay.parameter(name=name, value=value)
    return str(response)


def say_and_hang_up(text: str, *, language: str = "") -> str:
    """Say a sentence with `<Say>`, then end the call."""
    response = VoiceResponse()
    response.say(_characters(text), **_present({"language": language}))
    response.hangup()
    return str(response)


def redirect(url: str, *, sentence: str = "", pause_seconds: int = 0) -> str:
    """Continue with the TwiML of an absolute URL, after a sentence (empty = none) and a pause."""
    response = _saying(sentence)
    if pause_seconds:
        response.pause(length=pause_seconds)
    response.redirect(_characters(url), method="POST")
    return str(response)


def dial(
    destination: str,
    *,
    caller_id: str,
    action_url: str,
    timeout_seconds: int = 20,
    parameters: Mapping[str, str] | None = None,
) -> str:
    """Connect the call to a person; the telephone rings for `timeout_seconds`.

    `destination` is an E.164 number, a SIP address that begins with `sip:` or `sips:`, or the user
    of an app as `client:identity`. An empty `caller_id` is the caller's own. `parameters` are for
    an app only: at most 8, with names of 32 bytes and values of 128.
    """
    response = VoiceResponse()
    call = response.dial(
        action=action_url,
        method="POST",
        timeout=timeout_seconds,
        answer_on_bridge=True,
        caller_id=caller_id or None,
    )
    if destination.lower().startswith(("sip:", "sips:")):
        call.sip(destination)
    elif destination.startswith("client:"):
        client = call.client()
        client.identity(destination.removeprefix("client:"))
        for name, value in _present(parameters or {}).items():
            client.parameter(name=name, value=value)
    else:
        call.number(destination)
    return str(response)


def enqueue(queue: str, *, action_url: str = "", sentence: str = "") -> str:
    """Put the caller into a queue; without `action_url` the call ends after it."""
    response = _saying(sentence)
    afterwards = {"action": action_url, "method": "POST"} if action_url else {}
    response.enqueue(_characters(queue), **afterwards)
    return str(response)


def enqueue_task(
    workflow: str, task: Mapping[str, object], *, priority: int | None, action_url: str
) -> str:
    """Create a TaskRouter task of JSON values; `priority` None = the workflow's."""
    response = VoiceResponse()
    waiting = response.enqueue(None, workflow_sid=workflow, action=action_url, method="POST")
    waiting.task(_characters(json.dumps(task, ensure_ascii=False)), priority=priority)
    return str(response)


def refer(address: str, *, action_url: str) -> str:
    """Refer a SIP call to another address, which begins with `sip:` or `sips:`."""
    response = VoiceResponse()
    response.refer(action=action_url, method="POST").sip(address)
    return str(response)


def hang_up() -> str:
    """End the call."""
    response = VoiceResponse()
    response.hangup()
    return str(response)


def empty() -> str:
    """No instruction, for a call that is over."""
    return str(VoiceResponse())


def _saying(sentence: str) -> VoiceResponse:
    response = VoiceResponse()
    if sentence.strip():
        response.say(_characters(sentence))
    return response


def _present(attributes: Mapping[str, str]) -> dict[str, str]:
    texts = {_characters(name): _characters(text) for name, text in attributes.items()}
    return {name: text for name, text in texts.items() if name and text.strip()}


def _characters(text: str) -> str:
    return _NOT_XML.sub("", text)


_MOST_PARAMETERS = 8
_LONGEST_PARAMETER = 200  # characters; a longer value is dropped, as a part may mean another thing
_PARAMETER_NAME = re.compile(r"app_[A-Za-z0-9_]{1,32}")


def app_parameters(fields: Mapping[str, str]) -> dict[str, str]:
    """The parameters that an app may pass to the relay session, from a verified voice webhook.

    The holder of an access token chooses them freely. Those that begin with `app_` become
    `<Parameter>`s. None reaches the model or a tool, or decides about caller, use case or transfer
    target.
    """
    if not fields.get("From", "").startswith("client:"):
        return {}
    named = [(name, fields[name]) for name in sorted(fields) if _PARAMETER_NAME.fullmatch(name)]
    short = [(name, value) for name, value in named if 0 < len(value) <= _LONGEST_PARAMETER]
    return {name: value for name, value in short[:_MOST_PARAMETERS] if value.isprintable()}
