"""Who is told in these stories, and what: people with one channel each, so that counts are plain."""

from typing import Any

from dispatcher.context import Context
from segments.records import ContactIn
from tests.flow.story import contact, seed, update

# Fictional numbers end in 0100 to 0189 for the sandbox, 90 in each area.
_AREAS = (212, 213, 312, 415, 617, 702, 718, 818)
_PER_AREA = 90
WITHOUT = {"email": None, "phone": None, "app_user": None, "sms_consent": None}


def by_mail(number: int) -> ContactIn:
    """Reached by e-mail alone."""
    return contact(number, "small", **{**WITHOUT, "email": f"person{number}@example.com"})


def by_text(number: int) -> ContactIn:
    """Reached by text alone."""
    area, line = _AREAS[number // _PER_AREA], 100 + number % _PER_AREA
    consent = {"granted": True, "source": "contract", "wording": "texts about incidents"}
    phone = f"+1{area}555{line:04d}"
    return contact(1_000 + number, "small", **{**WITHOUT, "phone": phone, "sms_consent": consent})


async def crowd(ctx: Context, *, mails: int = 0, texts: int = 0) -> None:
    """That many people who use `checkout`."""
    people = [by_mail(number) for number in range(mails)]
    await seed(ctx, people + [by_text(number) for number in range(texts)])


def body(ctx: Context, **more: Any) -> dict[str, Any]:
    """A P1 acknowledgement as an upstream would post it."""
    made: dict[str, Any] = update(ctx, **more).model_dump(mode="json", exclude_unset=True)
    return made
