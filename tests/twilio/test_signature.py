"""Only what Twilio signed for our own URLs is genuine.

The literal signatures are HMAC-SHA1, computed without the library.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import (  # type: ignore[import-untyped] # ships no types
    RequestValidator,
)

from agent.twilio.signature import Signatures

TOKEN = "12345678901234567890123456789012"
OLDER = "abcdefghijklmnopqrstuvwxyzabcdef"
SIGNATURES = Signatures([TOKEN], "https://voice.example.com", "wss://voice.example.com")
PREFIXED = Signatures([TOKEN], "https://voice.example.com/prefix", "wss://voice.example.com/prefix")

FORM = {
    "CallSid": "CA0123",
    "From": "+15550001111",
    "To": "+15550002222",
    "CallStatus": "ringing",
}


@pytest.mark.parametrize(
    ("raw_path", "signature"),
    [
        ("/ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),
        ("/ws/", "hQqdzSNzuvnh7o/tY/+N+rMpJEk="),
        ("/ws?tenant=acme&v=2", "RDA9M167hfI8VRzOO5XAalljBDM="),
        ("/ws?t=a%2Fb%20c", "NBPF4fnek25x/j7bC5ofoKGbaGc="),
    ],
)
def test_a_handshake_is_signed_with_its_exact_url(raw_path: str, signature: str) -> None:
    """Scheme wss, path, trailing slash, percent-encoding and query all count."""
    assert SIGNATURES.handshake_is_genuine(raw_path, signature)
    assert not SIGNATURES.handshake_is_genuine(raw_path + "x", signature)


@pytest.mark.parametrize(
    ("raw_path", "signature"),
    [
        ("/ws", "XEyqpFwrygFlOFkTnn4A2jaqkjw="),  # https://voice.example.com/ws
        ("/ws", "hQqdzSNzuvnh7o/tY/+N+rMpJEk="),  # .../ws/
        ("/ws/", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),  # .../ws
        ("/ws?v=2&tenant=acme", "RDA9M167hfI8VRzOO5XAalljBDM="),  # the other order
        ("/ws?t=a/b%20c", "NBPF4fnek25x/j7bC5ofoKGbaGc="),  # a%2Fb%20c
        ("/ws", "cIBKTp6BKZSySTL74i9J/n06IOY="),  # wss://voice.example.com:80/ws
        ("/ws", "GHbRwAuiagDrJlx8Iu3nCTBywuA="),  # wss://voice.example.com:8443/ws
        ("/ws", "zoRpgetH/TSqLV8DZjjqW/UKoYE="),  # another token
        ("/ws", "3aaJRYoBu13U+VtOCB8Bpa4oCFM="),  # an empty token
        ("/ws", ""),
        ("/ws", None),
        ("ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),
        ("", "kzRsq2FsB5lLXe02SE4EKgTAuxk="),
        ("https://voice.example.com/ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),
        ("/\udcff", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),
    ],
)
def test_a_handshake_signed_otherwise_is_refused(raw_path: str, signature: str | None) -> None:
    """Above all, the signature of a webhook to the same path opens no socket."""
    assert not SIGNATURES.handshake_is_genuine(raw_path, signature)


@pytest.mark.parametrize("ws_url", ["wss://voice.example.com/", "wss://voice.example.com:443"])
@pytest.mark.parametrize(
    ("raw_path", "signature"),
    [
        ("/ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),  # wss://voice.example.com/ws
        ("/ws", "tgTy/5SJEtWzWIgKQTNKFr1p9L8="),  # wss://voice.example.com:443/ws
        ("/", "BtqXoUrTnZn4zo3I/O8KyfP3Q1A="),  # wss://voice.example.com/
        ("/", "kzRsq2FsB5lLXe02SE4EKgTAuxk="),  # wss://voice.example.com
        ("/", "3+y7RioEMN00Tub7WZq/g/2eDKI="),  # wss://voice.example.com:443
        ("/?callSid=CA1", "ria7JB61johQjeO8D+GSK9Ye2kE="),  # .../?callSid=CA1
        ("/?callSid=CA1", "JEFTtKohMw2nCNb+sMdj2/x6hE0="),  # ...com?callSid=CA1
    ],
)
def test_port_and_bare_slash_may_be_signed_or_not(
    ws_url: str, raw_path: str, signature: str
) -> None:
    """Spellings of one URL that cannot be told apart once it has been dialled."""
    signatures = Signatures([TOKEN], "https://voice.example.com", ws_url)

    assert signatures.handshake_is_genuine(raw_path, signature)


def test_a_port_of_its_own_counts() -> None:
    """With a port in the configured URL, a port in the signed one must be the same."""
    signatures = Signatures([TOKEN], "https://voice.example.com", "wss://voice.example.com:8443")

    assert signatures.handshake_is_genuine("/ws", "GHbRwAuiagDrJlx8Iu3nCTBywuA=")
    assert not signatures.handshake_is_genuine("/ws", "tgTy/5SJEtWzWIgKQTNKFr1p9L8=")


@pytest.mark.parametrize(
    ("raw_path", "signature"),
    [("/", "FxatGm407qauAUJPhE0l+O03WGs="), ("/ws?t=1", "FOuncEmw5DYEoalfF0R4mi0RBTc=")],
)
def test_a_local_relay_signs_with_ws(raw_path: str, signature: str) -> None:
    """The configured scheme counts, so that a call can be played without certificates."""
    signatures = Signatures([TOKEN], "http://localhost:3000", "ws://localhost:3000/")

    assert signatures.handshake_is_genuine(raw_path, signature)
    assert not SIGNATURES.handshake_is_genuine(raw_path, signature)


@pytest.mark.parametrize(
    ("raw_path", "signature"),
    [
        ("/ws", "sPVV9Zutc2lpnf3dujccBmz1Ly8="),  # wss://voice.example.com/prefix/ws
        ("/prefix/ws", "sPVV9Zutc2lpnf3dujccBmz1Ly8="),
        ("/", "RPEqZLzjUdEr3ed9dRO/YkhAIPQ="),  # wss://voice.example.com/prefix/
        ("/prefix/", "RPEqZLzjUdEr3ed9dRO/YkhAIPQ="),
        ("/", "59qx/RrGcPX/c16pFKb35OS9eDc="),  # wss://voice.example.com/prefix
        ("/prefix", "59qx/RrGcPX/c16pFKb35OS9eDc="),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_proxy_may_take_the_prefix_away_or_leave_it(
    raw_path: str, signature: str, slash: str
) -> None:
    """Either way the URL is the one that Twilio dialled."""
    signatures = Signatures(
        [TOKEN],
        f"https://voice.example.com/prefix{slash}",
        f"wss://voice.example.com/prefix{slash}",
    )

    assert signatures.handshake_is_genuine(raw_path, signature)


@pytest.mark.parametrize(
    ("raw_path", "signature"),
    [
        ("/ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),  # wss://voice.example.com/ws
        ("/other/ws", "3UOc7k1EgZ9x81PTFn0IP66SibM="),  # wss://voice.example.com/other/ws
        ("/prefixed/ws", "Xp/RqZo7U7A5WUxByX66U/Tdxj0="),  # wss://voice.example.com/prefixed/ws
    ],
)
def test_what_lies_outside_the_prefix_is_not_ours(raw_path: str, signature: str) -> None:
    """A signature for another service on the same host is refused."""
    assert not PREFIXED.handshake_is_genuine(raw_path, signature)


def test_a_webhook_is_signed_with_its_url_and_form() -> None:
    """A value changed, added or removed makes the signature invalid."""
    signature = "qcmFV3ykADjEfIcv527wuk5FEsA="

    def check(form: dict[str, str]) -> bool:
        return SIGNATURES.webhook_is_genuine("/voice/inbound", form, signature)

    assert check(FORM)
    assert not check({**FORM, "From": "+15550009999"})
    assert not check({**FORM, "Extra": ""})
    assert not check({"CallSid": "CA0123"})
    assert not SIGNATURES.webhook_is_genuine("/voice/outbound", FORM, signature)
    assert not SIGNATURES.webhook_is_genuine("/voice/inbound?a=1", FORM, signature)
    assert not SIGNATURES.webhook_is_genuine("/voice/inbound", FORM, None)


def test_a_webhook_may_be_signed_with_its_port() -> None:
    """`https://voice.example.com:443/voice/inbound` is the same URL."""
    assert SIGNATURES.webhook_is_genuine(
        "/voice/inbound", {"CallSid": "CA0123"}, "37ebPTDEl/iMDLYE35PsWcnHzJs="
    )


def test_repeated_and_blank_fields_of_a_form_count() -> None:
    """A multi-dict is checked with every distinct value, in order, and the query as it came."""
    form = MultiDict([("A", "2"), ("A", "1"), ("B", ""), ("A", "1")])

    # HMAC of https://voice.example.com/twiml?x=%2F1A1A2B
    assert SIGNATURES.webhook_is_genuine("/twiml?x=%2F1", form, "ZmpfiwhdiRniqB+/OLM8jJ70RTk=")


def test_a_webhook_behind_a_prefix_is_checked_alike() -> None:
    """The prefix of the public URL is part of what is signed."""
    signature = "G9OjqHxzdl+xdtwzk3VsqYg+blY="  # https://voice.example.com/prefix/twiml, From=+1

    assert PREFIXED.webhook_is_genuine("/twiml", {"From": "+1"}, signature)
    assert PREFIXED.webhook_is_genuine("/prefix/twiml", {"From": "+1"}, signature)
    assert not SIGNATURES.webhook_is_genuine("/twiml", {"From": "+1"}, signature)


@pytest.mark.parametrize("value", [bytearray(b"x"), object(), 1])
def test_a_form_with_more_than_text_is_not_from_twilio(value: object) -> None:
    """An uploaded file is refused and does not disturb the service."""
    form = {**FORM, "File": value}

    assert not SIGNATURES.webhook_is_genuine("/voice/inbound", form, "qcmFV3ykADjEfIcv527wuk5FEsA=")


def test_both_tokens_count_while_one_is_replaced() -> None:
    """Rotation: the old and the new token are accepted, in any order, no others."""
    signatures = Signatures([OLDER, TOKEN], "https://voice.example.com", "wss://voice.example.com")

    assert signatures.handshake_is_genuine("/ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4=")
    assert signatures.handshake_is_genuine("/ws", "zoRpgetH/TSqLV8DZjjqW/UKoYE=")
    assert signatures.webhook_is_genuine("/voice/inbound", FORM, "qcmFV3ykADjEfIcv527wuk5FEsA=")
    assert not SIGNATURES.handshake_is_genuine("/ws", "zoRpgetH/TSqLV8DZjjqW/UKoYE=")


def test_without_a_token_nothing_is_genuine() -> None:
    """Switching checks off is decided elsewhere, openly."""
    signatures = Signatures([], "https://voice.example.com", "wss://voice.example.com")

    assert not signatures.handshake_is_genuine("/ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4=")


@pytest.mark.parametrize(
    ("tokens", "public_url", "ws_url"),
    [
        ([TOKEN, ""], "https://voice.example.com", "wss://voice.example.com"),
        (TOKEN, "https://voice.example.com", "wss://voice.example.com"),
        ([TOKEN], "voice.example.com", "wss://voice.example.com"),
        ([TOKEN], "https:///", "wss://voice.example.com"),
        ([TOKEN], "https://voice.example.com", "https://voice.example.com"),
        ([TOKEN], "https://voice.example.com", "wss://user:secret@voice.example.com"),
        ([TOKEN], "https://voice.example.com", "wss://voice.example.com:port"),
    ],
)
def test_a_set_up_that_cannot_check_is_refused(
    tokens: list[str], public_url: str, ws_url: str
) -> None:
    """An empty token signs for anybody; a text in place of a list would be one token a letter."""
    with pytest.raises(ValueError, match=r"must be|Port could not"):
        Signatures(tokens, public_url, ws_url)


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
@example("[", "x")
@example("//[", "x")
@example("/?bodySHA256=x", "x")
def test_nothing_a_stranger_sends_is_genuine_or_an_error(raw_path: str, text: str) -> None:
    """A path, form or header of any characters is refused quietly."""
    path = "/" + raw_path

    assert not PREFIXED.handshake_is_genuine(path, text)
    assert not PREFIXED.handshake_is_genuine(raw_path, text)
    assert not PREFIXED.webhook_is_genuine(path, {text: raw_path}, text)


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("wss://h/x", {"wss://h/x", "wss://h:80/x"}),
        ("wss://h:443/x", {"wss://h/x", "wss://h:443/x"}),
        ("wss://h:443", {"wss://h", "wss://h:443"}),
        ("wss://h:443?a=1", {"wss://h?a=1", "wss://h:443?a=1"}),
        ("https://h/x", {"https://h/x", "https://h:443/x"}),
        ("http://h:3000/x", {"http://h/x", "http://h:3000/x"}),
    ],
)
def test_the_library_tries_a_url_with_and_without_its_port(url: str, accepted: set[str]) -> None:
    """Behaviour of twilio that it does not document: its default port of wss is 80."""
    validator = RequestValidator(TOKEN)
    spellings = [
        f"{scheme}://h{port}{rest}"
        for scheme in ("wss", "ws", "https", "http")
        for port in ("", ":80", ":443", ":3000")
        for rest in ("", "/", "/x", "?a=1", "/?a=1")
    ]

    found = {
        spelling
        for spelling in spellings
        if validator.validate(url, {}, validator.compute_signature(spelling, {}))
    }

    assert found == accepted


def test_the_library_fails_on_what_is_kept_from_it() -> None:
    """Why a missing header and bytes that are no text are dealt with before or around it."""
    validator = RequestValidator(TOKEN)

    with pytest.raises(TypeError):
        validator.validate("wss://h/x", {}, None)
    with pytest.raises(UnicodeEncodeError):
        validator.validate("wss://h/\udcff", {}, "x")
