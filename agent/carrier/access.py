"""Access tokens: with one, an app on a phone or in a browser may call as a named caller.

A token is a JWT signed with a secret of the account's API key, which the carrier checks when the
app connects (relay reference section 6.5). What it grants:

- to call the TwiML application, whose voice URL is our `/twiml`; the call then comes from
  `client:<identity>`, and Twilio vouches for the identity;
- to be called, where a push credential is configured; without one a phone would never ring.

It lasts minutes: it is needed to begin a call and not to go on with one, and cannot be taken back.
Trusted values are not put into it (`outgoing_application_params`): anybody who holds a token can
read it, and what is known about a caller stands in the table under the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twilio.jwt.access_token import AccessToken  # type: ignore[import-untyped] # ships no types
from twilio.jwt.access_token.grants import (  # type: ignore[import-untyped] # the same
    VoiceGrant,
)


@dataclass(frozen=True, slots=True)
class VoiceAccess:
    """`ports.Access` of one Twilio account."""

    account_sid: str
    key_sid: str
    key_secret: str = field(repr=False)
    application_sid: str
    """The TwiML application an app calls."""
    push_credential_sid: str
    """Lets the app be called; empty = it only calls."""
    clock: Callable[[], float]
    """Epoch seconds."""
    seconds: int = 600

    def issue(self, identity: str) -> str:
        """See `ports.Access`."""
        now = int(self.clock())
        token = AccessToken(
            self.account_sid,
            self.key_sid,
            self.key_secret,
            identity=identity,
            nbf=now,
            valid_until=now + self.seconds,
        )
        token.add_grant(
            VoiceGrant(
                incoming_allow=bool(self.push_credential_sid),
                outgoing_application_sid=self.application_sid,
                push_credential_sid=self.push_credential_sid or None,
            )
        )
        text: str = token.to_jwt()
        return text
