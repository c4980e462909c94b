"""What an app may send along with a call: a few short texts, passed on and believed by nobody.

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

import re
from collections.abc import Mapping

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
