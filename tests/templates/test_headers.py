import pytest

from templates.brand import Brand
from templates.headers import thread_headers

GIVEN = {
    "incident": "0199-a1.f00d",
    "update": "0199-b2.f00d",
    "recipient": "k3m9_x",
    "unsubscribe_url": "https://status.example.com/u/k3m9",
}


def made(*, incident: str, update: str, recipient: str, unsubscribe_url: str) -> dict[str, str]:
    return thread_headers(Brand(), incident=incident, update=update)(recipient, unsubscribe_url)


def test_a_mail_carries_its_thread_and_a_one_click_unsubscribe() -> None:
    assert made(**GIVEN) == {
        "List-Unsubscribe": "<https://status.example.com/u/k3m9>, "
        "<mailto:unsubscribe@example.com?subject=unsubscribe%20k3m9_x>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Id": "<incidents.example.com>",
        "Message-ID": "<upd-0199-b2.f00d.k3m9_x@example.com>",
        "In-Reply-To": "<inc-0199-a1.f00d.k3m9_x@example.com>",
        "References": "<inc-0199-a1.f00d.k3m9_x@example.com>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }


def test_all_updates_of_an_incident_are_one_thread_for_one_recipient() -> None:
    first = made(**GIVEN)
    second = made(**(GIVEN | {"update": "0199-b3"}))
    other = made(**(GIVEN | {"recipient": "zz"}))
    assert first["References"] == second["References"] != other["References"]
    assert first["Message-ID"] != second["Message-ID"]


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("evil", ["a\r\nBcc: x@example.com", "a b", "a>,<b", "a\u2028b", "", "a@b"])
def test_nothing_can_break_out_of_a_header(name: str, evil: str) -> None:
    with pytest.raises(ValueError, match=r"header|https"):
        made(**(GIVEN | {name: evil}))
