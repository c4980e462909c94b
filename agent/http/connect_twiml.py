"""The document that connects a call to the relay, at first and whenever its line was lost."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from agent.http.middleware import passed_on
from agent.session.call_manager import PreparedCall
from agent.settings import Settings
from agent.twilio import twiml
from agent.twilio.speech_failover import VOICE_ATTRIBUTES, SpeechHealth, SpeechSide
from agent.twilio.twiml import app_parameters


def connection(
    settings: Settings,
    prepared: PreparedCall,
    fields: Mapping[str, str],
    speech: SpeechHealth,
    *,
    is_plain: bool = False,
) -> str:
    """TwiML for a call that was prepared.

    Args:
        settings: Where the socket and the action URL are.
        prepared: The call.
        fields: Of the webhook that asks, verified.
        speech: Which providers are avoided.
        is_plain: Without the use case's settings of voice and recognition, which were refused.
    """
    use_case = prepared.use_case
    backups = {
        SpeechSide.VOICE: use_case.backup_voice,
        SpeechSide.TRANSCRIPTION: use_case.backup_transcription,
    }
    relay, languages = speech.connected(
        prepared.call_sid, use_case.relay, use_case.languages, backups
    )
    if is_plain:
        relay = {name: text for name, text in relay.items() if name not in VOICE_ATTRIBUTES}
        languages = ()
    query = urlencode({"callSid": prepared.call_sid, "token": prepared.token})
    return twiml.connect(
        f"{settings.ws_url}?{query}",
        action_url(settings, prepared.use_case.name, fields),
        relay,
        languages=languages,
        parameters={**app_parameters(fields), "callSid": prepared.call_sid},
        greeting=prepared.greeting,
    )


def action_url(settings: Settings, use_case: str, fields: Mapping[str, str], **more: str) -> str:
    """What is asked when a relay session, or a talk to a person, is over.

    Args:
        settings: Where the service is.
        use_case: Name of the one that answers the call.
        fields: Of the request that is answered, verified.
        more: What else the request is to bring back.
    """
    query = urlencode({"useCase": use_case, **passed_on(fields), **more})
    return f"{settings.origin}/twiml/action?{query}"
