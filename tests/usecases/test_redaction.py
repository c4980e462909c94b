"""Personal values are replaced by placeholders in every form in which they are said or written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.usecases.personal_values import ONES
from agent.usecases.redaction import RedactionOptions, Redactor, read_redaction
from agent.usecases.validation import RecordErrors

PROFILE = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada.lovelace@example.org"}


def redactor(*languages: str) -> Redactor:
    """It knows a profile, and what tools were given."""
    made = Redactor(languages, ("petName",))
    made.learn_profile(PROFILE, {"shop"})
    made.learn({"delivery_address": "12 St James Street, Springfield", "petName": "Rex"})
    made.learn({"phone": 15552223333, "arguments": '{"zip": "94105"}'})
    return made


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Ada's number is 555-765-4321", "[name 1]'s number is [number 2]"),
        ("+1 555 222 3333", "[number 1]"),
        ("five five five two two two, three three, double three", "[number 1]"),
        ("call five fifty-five twelve thirty four oh nine", "call [number 2]"),
        ("it ends in 3333", "it ends in [number 1]"),
        ("my mail is ada dot lovelace at example dot org", "my mail is [e-mail 1]"),
        ("a d a dot l o v e l a c e at example dot o r g", "[e-mail 1]"),
        ("a, d, a, dot, l, o, v, e, l, a, c, e, at, example, dot, org ok", "[e-mail 1] ok"),
        ("ADA.Lovelace@Example.org", "[e-mail 1]"),
        ("byron at example dot net, please", "[e-mail 2], please"),
        ("card 4111 1111 1111 1111 or 4111111111111111", "card [card 1] or [card 1]"),
        ("four one one one one one one one one one one one one one one one", "[card 1]"),
        ("4111 1111 1111 1112", "[number 2]"),
        ("A-D-A, L o v e l a c e", "[name 1], [name 2]"),
        ("12 St James Street in Springfield", "[address 1] in [address 1]"),
        ("7 Long Acre Road", "[address 3]"),
        ("zip nine four one oh five, 9 4 1 0 5", "zip [address 2], [address 2]"),
        ("Rex the dog", "[value 1] the dog"),
    ],
)
def test_a_personal_value_is_replaced_in_each_of_its_forms(said: str, kept: str) -> None:
    assert redactor().text(said) == kept


@pytest.mark.parametrize(
    "said",
    [
        "on 2026-03-05 at 10:00 AM, two large pizzas",
        "twenty five adaptable tables for 1,234 people",
        "twelve fifty, fifteen fifty and eleven",
        "meet me at the point of no return, at table five dot",
        "the code is 1234",
        "order restaurantOrder::31c3::1772625630::c404ab78",
        "[name 9] has [number 4] and [e-mail 2]",
    ],
)
def test_what_only_resembles_a_personal_value_stays(said: str) -> None:
    assert redactor().text(said) == said


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("es-ES", "seis cinco cinco, cinco cuatro cuatro tres dos"),
        ("fr-FR", "zéro six vingt-deux trente-trois quarante-quatre cinquante-cinq"),
        ("de-DE", "siebenundzwanzig achtundzwanzig zweiundvierzig dreizehn"),
        ("es-ES", "byron arroba correo punto es"),
        ("fr-FR", "byron arobase courriel point fr"),
        ("de-DE", "byron ät beispiel punkt de"),
    ],
)
def test_numbers_and_addresses_are_found_in_other_languages(language: str, said: str) -> None:
    assert redactor(language).text(said) in {"[number 2]", "[e-mail 2]"}


def test_a_value_that_goes_over_several_turns_is_found_in_each_of_them() -> None:
    made = redactor()
    said = ("my number is 555 123", "4567 thanks", "and mail is byron", "at example dot net")

    made.learn_pieces(said)

    assert [made.text(each) for each in said] == [
        "my number is [number 2]", "[number 2] thanks", "and mail is [e-mail 2]", "[e-mail 2]",
    ]  # fmt: skip


def test_values_of_json_are_replaced_and_its_form_stays() -> None:
    given = {
        "phone": 15552223333, "total": 12.5, "isPhone": True, "sent": "{not json",
        "arguments": '{"email":"Ada.Lovelace@example.org","lines":[1,"Lovelace"]}',
    }  # fmt: skip

    assert redactor().value(given) == {
        "phone": "[number 1]", "total": 12.5, "isPhone": True, "sent": "{not json",
        "arguments": '{"email":"[e-mail 1]","lines":[1,"[name 2]"]}',
    }  # fmt: skip


def test_one_with_the_state_of_another_goes_on_with_its_placeholders() -> None:
    first = redactor()
    first.text("555 765 4321")

    second = Redactor(state=first.state)

    assert second.text("Ada, 5557654321, 5557654399") == "[name 1], [number 2], [number 3]"


@given(
    digits=st.text("0123456789", min_size=10, max_size=10),
    gap=st.sampled_from(["", " ", "-", ". "]),
    prefix=st.sampled_from(["", "+1", "1 "]),
)
def test_a_number_has_one_placeholder_in_all_forms_and_is_not_read_back(
    digits: str, gap: str, prefix: str
) -> None:
    made = Redactor()
    words = " ".join(ONES[int(digit)] for digit in digits)
    forms = (f"so {prefix}{gap.join(digits)} it is", f"so {words} it is", f"so {digits} it is")

    kept = [made.text(form) for form in forms]

    assert kept == ["so [number 1] it is"] * 3
    assert [made.text(each) for each in kept] == kept


@given(text=st.text(st.sampled_from("adb 019.,-@[]():\n") | st.characters(), max_size=60))
def test_what_was_redacted_stays_as_it_is(text: str) -> None:
    made = redactor("es-ES")
    kept = made.text(text)

    assert made.text(kept) == kept


@pytest.mark.parametrize(
    ("raw", "options", "errors"),
    [
        (None, None, []),
        ({}, RedactionOptions(), []),
        ({"fields": ["petName"]}, RedactionOptions(("petName",)), []),
        ("yes", RedactionOptions(), ["redaction"]),
        ({"fields": 3}, RedactionOptions(), ["redaction.fields"]),
    ],
)
def test_a_table_that_is_wrong_still_turns_redaction_on(
    raw: object, options: RedactionOptions | None, errors: list[str]
) -> None:
    found = RecordErrors()

    assert read_redaction(raw, None, found) == options
    assert [error.partition(":")[0] for error in found.errors] == errors


def test_a_recording_beside_it_is_remarked() -> None:
    found = RecordErrors()

    read_redaction({}, {"channels": "dual"}, found)

    assert found.remarks == ("redaction: does not reach the recording at Twilio",)


def test_an_app_user_is_replaced_by_name() -> None:
    made = Redactor()
    made.learn({"phone": "client:ada"})

    assert made.text("from client:ada") == "from [number 1]"
