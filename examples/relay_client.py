"""Plays Twilio: calls a service on this machine, says one sentence, and prints the answer.

    bash run-local.sh.sample                                    # in another terminal
    python examples/relay_client.py "two large Lighthouse pizzas please"

The service must run without `TWILIO_AUTH_TOKEN`; a real Twilio signs its requests.
"""

from __future__ import annotations

import asyncio
import json
import sys
from xml.etree import ElementTree as ET

import aiohttp


async def say(words: str, origin: str = "http://localhost:3000") -> str:
    """Ring, wait for the socket, say the words, and return the text of the answer."""
    call = {"CallSid": "CA" + "1" * 32, "From": "+15550100001", "To": "+15550100000"}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{origin}/twiml", data=call) as response:
            relay = ET.fromstring(await response.text()).find(".//ConversationRelay")  # noqa: S314
        assert relay is not None, "the service did not answer with a relay"
        async with http.ws_connect(relay.attrib["url"]) as socket:
            setup = {"callSid": call["CallSid"], "from": call["From"], "to": call["To"]}
            await socket.send_json({"type": "setup", "sessionId": "VX" + "1" * 32, **setup})
            await socket.send_json({"type": "prompt", "voicePrompt": words, "last": True})
            heard = ""
            async for message in socket:
                frame = json.loads(message.data)
                heard += frame.get("token", "")
                if frame.get("last"):
                    break
    return heard


if __name__ == "__main__":
    print(asyncio.run(say(" ".join(sys.argv[1:]) or "hello")))  # noqa: T201
