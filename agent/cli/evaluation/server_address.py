"""Which server the commands `load`, `probe` and `call` call, and what they sign with."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from yarl import URL

from agent.errors import AgentError
from agent.simulator.carrier import ACCOUNT, Twilio

_TOKEN = "TWILIO_AUTH_TOKEN"  # noqa: S105 (the name of a variable)
_ACCOUNT = "TWILIO_ACCOUNT_SID"


class AddressError(AgentError):
    """The URL or the token cannot be used."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server by the URL of its voice webhook."""

    base: str
    path: str
    host: str
    public_url: str
    """The origin it is known by; empty = `base`."""
    token: str
    account: str

    @property
    def is_this_machine(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Twilio]:
        """Twilio, with a number whose calls this server answers."""
        async with Twilio.open(self.base, self.token, self.public_url) as twilio:
            yield replace(twilio, path=self.path, account=self.account)


def add_address(command: argparse.ArgumentParser, name: str = "url") -> None:
    """Add the URL, as an argument or as the option `--url`, and the options that belong to it."""
    command.add_argument(
        name, metavar="URL", help="of the server or of its voice webhook; /twiml is the default"
    )
    command.add_argument(
        "--token", metavar="TOKEN", help=f"that signs; unset: {_TOKEN}; '': nothing is signed"
    )
    command.add_argument(
        "--account", metavar="SID", help=f"that calls; unset: {_ACCOUNT}, or one of zeros"
    )
    command.add_argument(
        "--public-url",
        default="",
        metavar="ORIGIN",
        help="https://HOST as Twilio knows it, if URL is another way to the server",
    )


def address_in(asked: argparse.Namespace) -> ServerAddress:
    """The server that was named; raises `AddressError`."""
    try:
        url = URL(asked.url)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise AddressError(f"{asked.url}: must be a URL such as https://voice.example.com")
    if asked.public_url and not _is_origin(asked.public_url):
        raise AddressError(
            f"--public-url: {asked.public_url}: must be an origin such as https://voice.example.com"
        )
    token = asked.token if asked.token is not None else os.environ.get(_TOKEN, "").partition(",")[0]
    if not token and asked.token is None:
        raise AddressError(f"{_TOKEN}: not set; it signs the requests, as Twilio does")
    path = url.raw_path_qs if url.raw_path_qs not in {"", "/"} else "/twiml"
    account = asked.account or os.environ.get(_ACCOUNT) or ACCOUNT
    return ServerAddress(str(url.origin()), path, url.host, asked.public_url, token, account)


def _is_origin(text: str) -> bool:
    try:
        url = URL(text)
        return url.scheme in {"http", "https"} and str(url.origin()) == str(url).rstrip("/")
    except ValueError:
        return False
