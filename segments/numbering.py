"""Telephone numbers that are valid beyond doubt, told from their digits alone.

phonenumbers understands everything that people write, at 90 µs a number. Nearly every number of an
import is written plainly; for those its own patterns, put together once per country, decide in 3 µs.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberDesc

# A plus, then digits with at most one mark between two of them: nothing here is read as an extension.
_PLAIN: Final = re.compile(r"\+\d(?:[ ().-]?\d){5,16}", re.ASCII)
_MARKS: Final = str.maketrans("", "", "+ ().-")
_LONGEST_CODE: Final = 3

# A number has at least one of these kinds, or it does not exist. "mobile" is one of its own only where
# it differs from the fixed lines.
_KINDS: Final = (
    "fixed_line",
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)

_Patterns: TypeAlias = Mapping[int, tuple[re.Pattern[str], re.Pattern[str]]]
"""By number of digits: what every number of the region matches, and what one of its kinds does."""


@dataclass(frozen=True, slots=True)
class _Region:
    """`leading`: where it matches, the number is of this region or does not exist."""

    leading: re.Pattern[str] | None
    patterns: _Patterns

    def has(self, national: str) -> bool:
        found = self.patterns.get(len(national))
        return found is not None and all(pattern.fullmatch(national) for pattern in found)


@dataclass(frozen=True, slots=True)
class _Country:
    """`rewritten` matches what may be more than the number: a national prefix, a carrier's code."""

    rewritten: re.Pattern[str]
    regions: tuple[_Region, ...]

    def has(self, national: str) -> bool:
        if self.rewritten.match(national):
            return False
        for region in self.regions:
            if region.leading is None:
                if region.has(national):
                    return True
            elif region.leading.match(national):
                return region.has(national)
        return False


def plain_e164(text: str) -> str | None:
    """The number in E.164 when it is written plainly and exists; None when phonenumbers must look."""
    if not _PLAIN.fullmatch(text):
        return None
    digits = text.translate(_MARKS)
    for length in range(1, _LONGEST_CODE + 1):
        country = _country(digits[:length])
        if country is not None:
            return f"+{digits}" if country.has(digits[length:]) else None
    return None


@lru_cache(maxsize=2000)
def _country(code: str) -> _Country | None:
    names = phonenumbers.region_codes_for_country_code(int(code)) if code[0] != "0" else ()
    if not names or names == (phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY,):
        return None
    found = [data for name in names if (data := PhoneMetadata.metadata_for_region(name))]
    # A leading zero belongs to the number in some countries and not in others.
    rewritten = f"0|{found[0].national_prefix_for_parsing or '0'}"
    return _Country(
        re.compile(rewritten),
        tuple(
            _Region(
                # The only region of a country has all of its numbers.
                re.compile(data.leading_digits) if data.leading_digits and len(found) > 1 else None,
                dict(_patterns(data)),
            )
            for data in found
        ),
    )


def _patterns(data: PhoneMetadata) -> Iterator[tuple[int, tuple[re.Pattern[str], re.Pattern[str]]]]:
    kinds = _KINDS if data.same_mobile_and_fixed_line_pattern else (*_KINDS, "mobile")
    described: list[PhoneNumberDesc | None] = [getattr(data, kind) for kind in kinds]
    every = data.general_desc
    if every is None or not every.national_number_pattern:
        return
    whole = re.compile(every.national_number_pattern)
    for length in every.possible_length:
        fitting = [
            f"(?:{desc.national_number_pattern})"
            for desc in described
            if desc is not None
            and desc.national_number_pattern
            and (not desc.possible_length or length in desc.possible_length)
        ]
        if fitting:
            yield length, (whole, re.compile("|".join(fitting)))
