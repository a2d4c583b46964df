"""How long to wait, and where a request goes."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from channels.transport import rebase, retry_after

DATE = "Fri, 15 Jan 2027 08:00:00 GMT"  # 1800000000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": " 30 "}, 30),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "99999999"}, 86_400),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 500}, None),
        ({"Retry-After": f"Fri, 15 Jan {'9' * 30} 07:00:00 GMT", "Date": DATE}, None),
        ({"Retry-After": "Fri, 15 Jan 2027 08:02:00 GMT", "Date": DATE}, 120),
        ({"Retry-After": "Fri, 15 Jan 2027 07:00:00 GMT", "Date": DATE}, 1),
        ({"Retry-After": "Fri, 15 Jan 2027 08:02:00 GMT"}, None),
        ({"X-RateLimit-Reset": "1800000045", "Date": DATE}, 45),
        ({"x-rate-limit-reset": "1800000900", "Date": DATE}, 900),
        ({"x-rate-limit-reset": "1800000900"}, None),
        ({"x-rate-limit-reset": "1800000900", "Date": "yesterday"}, None),
        ({"x-rate-limit-reset": "1700000000", "Date": DATE}, 1),
        ({"x-rate-limit-reset": "99999999999", "Date": DATE}, 86_400),
        ({"x-rate-limit-reset": "\u0663", "Date": DATE}, None),
        ({"Retry-After": "5", "X-RateLimit-Reset": "1800000045", "Date": DATE}, 5),
    ],
)
def test_the_wait_a_provider_asks_for(headers: dict[str, str], seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after(CIMultiDict(headers)) == expected


@given(
    st.dictionaries(
        st.sampled_from(["Retry-After", "X-RateLimit-Reset", "x-rate-limit-reset", "Date"]),
        st.text() | st.sampled_from([DATE, "Mon, 99 Jan 9999 99:99:99 GMT", "1 2 3 4 5 6"]),
    )
)
def test_no_header_breaks_it_or_asks_for_more_than_a_day(headers: dict[str, str]) -> None:
    wait = retry_after(headers)
    assert wait is None or timedelta(seconds=1) <= wait <= timedelta(days=1)


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/2/a%3Ab?c=d%3Ae"),
        ("http://127.0.0.1:9000/x", "http://127.0.0.1:9000/x/2/a%3Ab?c=d%3Ae"),
    ],
)
def test_another_base_url_keeps_path_and_query_to_the_letter(base_url: str, expected: str) -> None:
    signed = URL("https://api.twitter.com/2/a%3Ab?c=d%3Ae", encoded=True)
    assert str(rebase(signed, base_url)) == expected
