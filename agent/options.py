"""What each part is opened with, out of `Settings`.

The parts know no settings: each takes what it needs, in its own words.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic, time

from agent.carrier import MessengerOptions, TwilioAccount
from agent.carrier.access import VoiceAccess
from agent.llm import ModelOptions, Patience
from agent.load import Load
from agent.relay.signature import Signatures
from agent.settings import Settings
from agent.telemetry import Prices, Telemetry, read_prices
from agent.web import messages, token

_PRICES = Path(__file__).parents[1] / "configuration" / "prices.toml"


def record_days(settings: Settings) -> int:
    """How long calls are kept to be replayed; 0 = they are not."""
    return settings.record_days if settings.record_calls else 0


def twilio_account(settings: Settings) -> TwilioAccount:
    """Whose name requests to Twilio are made in."""
    return TwilioAccount(
        sid=settings.twilio_account_sid,
        auth_token=settings.twilio_auth_token,
        key_sid=settings.twilio_api_key_sid,
        key_secret=settings.twilio_api_key_secret,
        api_url=settings.twilio_api_url,
    )


def model_options(settings: Settings, telemetry: Telemetry, load: Load) -> ModelOptions:
    """What models are opened with."""
    return ModelOptions(
        identifier=settings.model_identifier,
        fallbacks=settings.fallback_model_identifiers,
        openai_api_key=settings.openai_api_key,
        openai_base_url=settings.openai_base_url,
        max_calls=settings.max_calls,
        patience=Patience(
            first_event=settings.model_first_event_seconds,
            gap=settings.model_gap_seconds,
            load=max(settings.model_load_seconds, settings.model_first_event_seconds),
        ),
        events=telemetry.models,
        may_hedge=lambda: load.allows_hedges,
    )


def prices_of(settings: Settings) -> Prices:
    """What models cost, for estimates.

    Raises:
        PricesError: The file cannot be used.
    """
    return read_prices(Path(settings.prices_file) if settings.prices_file else _PRICES)


def messenger_options(settings: Settings) -> MessengerOptions:
    """What messages are sent with. Only an address that Twilio can reach is told to it."""
    callback = f"{settings.origin}{messages.STATUS_PATH}" if settings.is_public else ""
    return MessengerOptions(
        account=twilio_account(settings),
        status_callback=callback,
        sendgrid_api_key=settings.sendgrid_api_key,
        email_sender=settings.email_from_address,
    )


def signatures(settings: Settings) -> Signatures | None:
    """What requests of Twilio are checked with; None where no token is configured."""
    if not settings.twilio_auth_token:
        return None
    return Signatures([settings.twilio_auth_token], settings.origin, settings.ws_url)


def token_desk(settings: Settings) -> token.TokenDesk | None:
    """Who gives access tokens to apps.

    None where a secret to ask with, or what tokens are made of, is not configured.
    """
    if not settings.token_api_keys:
        return None
    access = VoiceAccess(
        settings.twilio_account_sid,
        settings.twilio_api_key_sid,
        settings.twilio_api_key_secret,
        settings.twilio_twiml_app_sid,
        settings.twilio_push_credential_sid,
        clock=time,
    )
    return token.open_desk(access, settings.token_api_keys, monotonic)
