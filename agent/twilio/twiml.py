"""TwiML documents: what a call does next, as the carrier reads it.

Relay reference sections 1.1 to 1.8 and 6.2. Everything is built with the twilio helper, which
escapes; nothing is put together from strings. Attributes of the relay are given to it in their own
camelCase spelling: it turns snake_case into camelCase and leaves every other name alone, so this
works for attributes it has never heard of as well (a test pins that), and the code uses the names
of the reference.

Two things the helper does not do are done here. Characters that XML 1.0 cannot hold are left out,
for with one of them the whole document is unreadable and the call is lost. An empty attribute is
left out, because the relay may refuse it (64101).

Not made: `<Failover>`. Its attributes are not known (sections 1.6 and 8); an invented one would be
ignored, or end the call.

What an app may send along with a call: a few short texts, passed on and believed by nobody.

Parameters an app gives to its Voice SDK come as fields of the webhook, beside Twilio's own (relay
reference section 6.5). Who holds an access token writes into them what they like. So:

- those whose name begins with `app_`, a few and short, become `<Parameter>`s, which the relay
  gives back in `setup` and Twilio shows in its logs;
- all others are dropped. The quick-start's `ConversationRelayUrl` is one of them: a caller does not
  choose where a call is connected to.

None of them reaches the model or a tool, or says who calls, which use case answers, or what is
dialled. Knowledge about a caller belongs into the profile, under the identity Twilio vouches for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from twilio.twiml.voice_response import (  # type: ignore[import-untyped] # ships no types
    VoiceResponse,
)

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
    """Connect the call to the relay.

    Args:
        url: Where the relay opens its socket, exactly as it will be signed.
        action_url: What is asked when the session is over, by POST.
        attributes: As `relay_attributes` gives them.
        languages: As `language_settings` gives them.
        parameters: What `Setup.parameters` will hold; never secrets, they are in the carrier's
            logs. An empty value is left out.
        greeting: Played at once by the relay; empty = none.

    Raises:
        ValueError: `url` is not one of a socket.
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


def say_and_hang_up(text: str, *, language: str = "", voice: str = "") -> str:
    """Say a sentence without the relay, then end the call."""
    response = VoiceResponse()
    response.say(_characters(text), **_present({"language": language, "voice": voice}))
    response.hangup()
    return str(response)


def redirect(url: str, *, sentence: str = "", pause_seconds: int = 0) -> str:
    """Ask another URL what to do, by POST.

    Args:
        url: Absolute.
        sentence: Said before; empty = nothing.
        pause_seconds: Silence before.
    """
    response = VoiceResponse()
    if sentence.strip():
        response.say(_characters(sentence))
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
    """Connect the call to a person.

    Args:
        destination: E.164 number, SIP address that begins with `sip:` or `sips:`, or the user of
            an app as `client:identity`.
        caller_id: What the person sees; empty = the caller's own number.
        action_url: What is asked when the person has hung up or did not answer, by POST.
        timeout_seconds: How long it rings.
        parameters: Told to an app, and to nobody else; an empty value is left out. Twilio
            passes on 8 at most, names of 32 bytes, values of 128.
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
    """Let the caller wait in a queue, with Twilio's music.

    Args:
        queue: Its name.
        action_url: What is asked when the caller has left the queue, or the person is done, by
            POST; empty = nothing, the call is over then.
        sentence: Said before; empty = nothing.
    """
    response = VoiceResponse()
    if sentence.strip():
        response.say(_characters(sentence))
    afterwards = {"action": action_url, "method": "POST"} if action_url else {}
    response.enqueue(_characters(queue), **afterwards)
    return str(response)


def enqueue_task(
    workflow: str, task: Mapping[str, object], *, priority: int | None, action_url: str
) -> str:
    """Make the call a task of TaskRouter, and let the caller wait for who takes it.

    Args:
        workflow: SID of the workflow.
        task: Attributes of the task: values of JSON.
        priority: Of the task; None = the workflow's.
        action_url: As of `enqueue`.
    """
    response = VoiceResponse()
    waiting = response.enqueue(None, workflow_sid=workflow, action=action_url, method="POST")
    waiting.task(_characters(json.dumps(task, ensure_ascii=False)), priority=priority)
    return str(response)


def refer(address: str, *, action_url: str) -> str:
    """Ask the caller's switchboard to call a SIP address instead of us (a call by SIP only).

    Args:
        address: Begins with `sip:` or `sips:`.
        action_url: What is asked when the other call was answered or could not be made, by POST.
    """
    response = VoiceResponse()
    response.refer(action=action_url, method="POST").sip(address)
    return str(response)


def hang_up() -> str:
    """End the call."""
    response = VoiceResponse()
    response.hangup()
    return str(response)


def empty() -> str:
    """Ask nothing; for a call that is over."""
    return str(VoiceResponse())


def _present(attributes: Mapping[str, str]) -> dict[str, str]:
    texts = {_characters(name): _characters(text) for name, text in attributes.items()}
    return {name: text for name, text in texts.items() if name and text.strip()}


def _characters(text: str) -> str:
    return _NOT_XML.sub("", text)


MOST = 8
LONGEST = 200
"""Characters of a value; a longer one is dropped, for half of it may mean something else."""

_NAME = re.compile(r"app_[A-Za-z0-9_]{1,32}")


def app_parameters(fields: Mapping[str, str]) -> dict[str, str]:
    """What of a webhook is passed on: nothing but of a call from an app.

    Args:
        fields: Of the voice webhook, verified.
    """
    if not fields.get("From", "").startswith("client:"):
        return {}
    named = [(name, fields[name]) for name in sorted(fields) if _NAME.fullmatch(name)]
    short = [(name, value) for name, value in named if 0 < len(value) <= LONGEST]
    return {name: value for name, value in short[:MOST] if value.isprintable()}
