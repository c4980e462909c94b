"""Only what Twilio signed for our own URLs is genuine.

The literal signatures are HMAC-SHA1, computed without the library.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped] # ships no types

from agent.twilio.signature import Signatures

TOKEN = "12345678901234567890123456789012"
SIGNATURES = Signatures("https://voice.example.com", "wss://voice.example.com")
PREFIXED = Signatures("https://voice.example.com/prefix", "wss://voice.example.com/prefix")

FORM = {"CallSid": "CA0123", "From": "+15550001111", "To": "+15550002222", "CallStatus": "ringing"}
PLAIN = ("wss://voice.example.com", "wss://voice.example.com/", "wss://voice.example.com:443")
PORT = ("wss://voice.example.com:8443",)
LOCAL = ("ws://localhost:3000/",)
PREFIX = ("wss://voice.example.com/prefix", "wss://voice.example.com/prefix/")


@pytest.mark.parametrize(
    ("configured", "raw_path", "signature"),
    [
        (PLAIN, "/ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),
        (PLAIN, "/ws/", "hQqdzSNzuvnh7o/tY/+N+rMpJEk="),
        (PLAIN, "/ws?tenant=acme&v=2", "RDA9M167hfI8VRzOO5XAalljBDM="),
        (PLAIN, "/ws?t=a%2Fb%20c", "NBPF4fnek25x/j7bC5ofoKGbaGc="),
        (PLAIN, "/ws", "tgTy/5SJEtWzWIgKQTNKFr1p9L8="),  # wss://voice.example.com:443/ws
        (PLAIN, "/", "BtqXoUrTnZn4zo3I/O8KyfP3Q1A="),  # wss://voice.example.com/
        (PLAIN, "/", "kzRsq2FsB5lLXe02SE4EKgTAuxk="),  # wss://voice.example.com
        (PLAIN, "/", "3+y7RioEMN00Tub7WZq/g/2eDKI="),  # wss://voice.example.com:443
        (PLAIN, "/?callSid=CA1", "ria7JB61johQjeO8D+GSK9Ye2kE="),  # .../?callSid=CA1
        (PLAIN, "/?callSid=CA1", "JEFTtKohMw2nCNb+sMdj2/x6hE0="),  # ...com?callSid=CA1
        (PORT, "/ws", "GHbRwAuiagDrJlx8Iu3nCTBywuA="),
        (LOCAL, "/", "FxatGm407qauAUJPhE0l+O03WGs="),
        (LOCAL, "/ws?t=1", "FOuncEmw5DYEoalfF0R4mi0RBTc="),
        (PREFIX, "/ws", "sPVV9Zutc2lpnf3dujccBmz1Ly8="),  # wss://voice.example.com/prefix/ws
        (PREFIX, "/prefix/ws", "sPVV9Zutc2lpnf3dujccBmz1Ly8="),
        (PREFIX, "/", "RPEqZLzjUdEr3ed9dRO/YkhAIPQ="),  # wss://voice.example.com/prefix/
        (PREFIX, "/prefix/", "RPEqZLzjUdEr3ed9dRO/YkhAIPQ="),
        (PREFIX, "/", "59qx/RrGcPX/c16pFKb35OS9eDc="),  # wss://voice.example.com/prefix
        (PREFIX, "/prefix", "59qx/RrGcPX/c16pFKb35OS9eDc="),
    ],
)
def test_handshake_is_signed_with_the_configured_url(
    configured: tuple[str, ...], raw_path: str, signature: str
) -> None:
    """Three spellings are accepted: port 443, the `/` of a bare host, a prefix that was removed."""
    for ws_url in configured:
        signatures = Signatures("https://voice.example.com", ws_url)

        assert signatures.handshake_is_genuine(TOKEN, raw_path, signature)
        assert not signatures.handshake_is_genuine(TOKEN, raw_path + "x", signature)


@pytest.mark.parametrize(
    ("configured", "raw_path", "signature"),
    [
        (PLAIN, "/ws", "XEyqpFwrygFlOFkTnn4A2jaqkjw="),  # https://voice.example.com/ws
        (PLAIN, "/ws", "hQqdzSNzuvnh7o/tY/+N+rMpJEk="),  # .../ws/
        (PLAIN, "/ws/", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),  # .../ws
        (PLAIN, "/ws?v=2&tenant=acme", "RDA9M167hfI8VRzOO5XAalljBDM="),  # the other order
        (PLAIN, "/ws?t=a/b%20c", "NBPF4fnek25x/j7bC5ofoKGbaGc="),  # a%2Fb%20c
        (PLAIN, "/ws", "cIBKTp6BKZSySTL74i9J/n06IOY="),  # wss://voice.example.com:80/ws
        (PLAIN, "/ws", "GHbRwAuiagDrJlx8Iu3nCTBywuA="),  # wss://voice.example.com:8443/ws
        (PLAIN, "/ws", "zoRpgetH/TSqLV8DZjjqW/UKoYE="),  # another token
        (PLAIN, "/ws", "3aaJRYoBu13U+VtOCB8Bpa4oCFM="),  # an empty token
        (PLAIN, "/ws", ""),
        (PLAIN, "/ws", None),
        (PLAIN, "ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),
        (PLAIN, "", "kzRsq2FsB5lLXe02SE4EKgTAuxk="),
        (PLAIN, "https://voice.example.com/ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),
        (PLAIN, "/\udcff", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),
        (PLAIN, "/", "FxatGm407qauAUJPhE0l+O03WGs="),  # ws://localhost:3000/
        (PORT, "/ws", "tgTy/5SJEtWzWIgKQTNKFr1p9L8="),  # wss://voice.example.com:443/ws
        (PREFIX, "/ws", "t+4zt7ELRftR6ezwL9EqUUPd/Y4="),  # wss://voice.example.com/ws
        (PREFIX, "/other/ws", "3UOc7k1EgZ9x81PTFn0IP66SibM="),  # .../other/ws
        (PREFIX, "/prefixed/ws", "Xp/RqZo7U7A5WUxByX66U/Tdxj0="),  # .../prefixed/ws
    ],
)
def test_handshake_with_another_signature_is_refused(
    configured: tuple[str, ...], raw_path: str, signature: str | None
) -> None:
    """Above all one with the signature of a webhook to the same path."""
    for ws_url in configured:
        signatures = Signatures("https://voice.example.com", ws_url)

        assert not signatures.handshake_is_genuine(TOKEN, raw_path, signature)


def test_a_webhook_is_signed_with_its_url_and_form() -> None:
    """A value changed, added or removed makes the signature invalid."""
    signature = "qcmFV3ykADjEfIcv527wuk5FEsA="

    def check(form: dict[str, str]) -> bool:
        return SIGNATURES.webhook_is_genuine(TOKEN, "/voice/inbound", form, signature)

    assert check(FORM)
    assert not check({**FORM, "From": "+15550009999"})
    assert not check({**FORM, "Extra": ""})
    assert not check({"CallSid": "CA0123"})
    assert not SIGNATURES.webhook_is_genuine(TOKEN, "/voice/outbound", FORM, signature)
    assert not SIGNATURES.webhook_is_genuine(TOKEN, "/voice/inbound?a=1", FORM, signature)
    assert not SIGNATURES.webhook_is_genuine(TOKEN, "/voice/inbound", FORM, None)


@pytest.mark.parametrize(
    ("path", "form", "signature"),
    [
        ("/voice/inbound", {"CallSid": "CA0123"}, "37ebPTDEl/iMDLYE35PsWcnHzJs="),  # with :443
        # HMAC of https://voice.example.com/twiml?x=%2F1A1A2B
        (
            "/twiml?x=%2F1",
            MultiDict([("A", "2"), ("A", "1"), ("B", ""), ("A", "1")]),
            "ZmpfiwhdiRniqB+/OLM8jJ70RTk=",
        ),
    ],
)
def test_port_and_repeated_and_blank_fields_of_a_form_count(
    path: str, form: dict[str, str], signature: str
) -> None:
    """Every distinct value is signed, in order."""
    assert SIGNATURES.webhook_is_genuine(TOKEN, path, form, signature)


def test_a_webhook_behind_a_prefix_is_checked_alike() -> None:
    signature = "G9OjqHxzdl+xdtwzk3VsqYg+blY="  # https://voice.example.com/prefix/twiml, From=+1

    assert PREFIXED.webhook_is_genuine(TOKEN, "/twiml", {"From": "+1"}, signature)
    assert PREFIXED.webhook_is_genuine(TOKEN, "/prefix/twiml", {"From": "+1"}, signature)
    assert not SIGNATURES.webhook_is_genuine(TOKEN, "/twiml", {"From": "+1"}, signature)


@pytest.mark.parametrize("value", [bytearray(b"x"), object(), 1])
def test_a_form_with_more_than_text_is_not_from_twilio(value: object) -> None:
    form = {**FORM, "File": value}

    assert not SIGNATURES.webhook_is_genuine(
        TOKEN, "/voice/inbound", form, "qcmFV3ykADjEfIcv527wuk5FEsA="
    )


def test_empty_token_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        SIGNATURES.webhook_is_genuine("", "/twiml", FORM, "qcmFV3ykADjEfIcv527wuk5FEsA=")


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
@example("[", "x")
@example("//[", "x")
@example("/?bodySHA256=x", "x")
def test_unsigned_requests_of_any_characters_are_refused_without_an_error(
    raw_path: str, text: str
) -> None:
    path = "/" + raw_path

    assert not PREFIXED.handshake_is_genuine(TOKEN, path, text)
    assert not PREFIXED.handshake_is_genuine(TOKEN, raw_path, text)
    assert not PREFIXED.webhook_is_genuine(TOKEN, path, {text: raw_path}, text)


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
    """Not documented: its default port of wss is 80."""
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


def test_the_library_fails_on_a_missing_header_and_on_bytes_that_are_not_text() -> None:
    validator = RequestValidator(TOKEN)

    with pytest.raises(TypeError):
        validator.validate("wss://h/x", {}, None)
    with pytest.raises(UnicodeEncodeError):
        validator.validate("wss://h/\udcff", {}, "x")
