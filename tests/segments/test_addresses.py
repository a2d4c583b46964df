"""The short cuts for plain addresses say nothing that the libraries would not say."""

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import NumberParseException, PhoneNumberFormat

from segments.addresses import normalise_email
from segments.numbering import plain_e164

_EXAMPLES = [
    phonenumbers.format_number(example, PhoneNumberFormat.E164)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in phonenumbers.PhoneNumberType.values()
    if (example := phonenumbers.example_number_for_type(region, kind)) is not None
]
_LABELS = st.one_of(
    st.from_regex(r"[a-zA-Z0-9-]{1,8}", fullmatch=True),
    st.sampled_from(
        ["", "a" * 63, "a" * 64, "xn--bcher-kva", "XN--x", "ab--c", "bücher", "K", "-"]
    ),
)
_ENDS = st.sampled_from(["com", "DE", "x", "c0m", "0c", "test", "Local", "arpa", "xn--p1ai"])


def _understood(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text)
    except NumberParseException:
        return None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _domain_kept(domain: str) -> str | None:
    try:
        return validate_email(f"x@{domain}", check_deliverability=False).ascii_domain
    except EmailNotValidError:
        return None


def test_nearly_every_kind_of_number_of_every_country_is_told_at_sight() -> None:
    told = sum(plain_e164(example) == example for example in _EXAMPLES)

    assert told / len(_EXAMPLES) > 0.9


@given(st.data())
def test_a_number_told_at_sight_is_what_phonenumbers_makes_of_it(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(_EXAMPLES))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(1, len(text)))
        put = data.draw(st.sampled_from([*"0123456789", " ", "-", "(0)", ".", " x", ""]))
        text = text[:at] + put + text[at + data.draw(st.integers(0, 1)) :]

    told = plain_e164(text)

    assert told is None or told == _understood(text)


@given(st.from_regex(r"\+[0-9 ().-]{5,20}", fullmatch=True))
def test_any_digits_told_at_sight_are_what_phonenumbers_makes_of_them(text: str) -> None:
    told = plain_e164(text)

    assert told is None or told == _understood(text)


@given(st.lists(_LABELS, max_size=4), st.one_of(_ENDS, _LABELS))
def test_a_domain_is_kept_as_email_validator_would_keep_it(labels: list[str], end: str) -> None:
    domain = ".".join((*labels, end))
    try:
        kept = normalise_email(f"ada@{domain}").removeprefix("ada@")
    except ValueError:
        kept = None

    assert kept == _domain_kept(domain)
