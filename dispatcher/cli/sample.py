"""Sample customers: 300 accounts with 2,000 contacts, the same for the same seed, reachable nowhere.

Only names set aside for examples are used: example.com, .org and .net, and +1 xxx 555 01xx numbers.
Some people have no consent, some share an inbox, and some have addresses at which the sandbox shows
what can go wrong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from faker import Faker

Row = dict[str, Any]

ACCOUNTS: Final = 300
CONTACTS: Final = 2_000
ENTERPRISE: Final = 45
INTERNAL: Final = 15
SUPPRESSED: Final = 25

COMPONENTS: Final[Sequence[Row]] = (
    {"external_id": "checkout", "name": "checkout-api", "public_name": "Checkout"},
    {"external_id": "dashboard", "name": "web-dashboard", "public_name": "Dashboard"},
    {"external_id": "reports", "name": "reporting", "public_name": "Reports"},
    {"external_id": "webhooks", "name": "webhook-sender", "public_name": "Webhooks"},
)
_REGIONS: Final = ("eu", "us")
_DOMAINS: Final = ("example.com", "example.org", "example.net")
_ZONES: Final = ("America/New_York", "Europe/Berlin", "Europe/London", "Asia/Singapore", "UTC")
_AREAS: Final = (
    *(202, 206, 212, 213, 214, 215, 217, 301, 303, 305, 310, 312, 313, 314, 404, 407, 408, 412),
    *(415, 416, 503, 504, 512, 602, 604, 612, 613, 614, 617, 619, 702, 703, 713, 718, 801, 808),
)
_NUMBERS_AN_AREA: Final = 90  # 0100 to 0189: the sandbox keeps the last ten for what goes wrong
_ROLES: Final = ("admin", "stakeholder", "developer", "billing")
# What the sandbox does with them is in its table: bounce, block, defer, stay silent, complain.
_TROUBLE: Final = ("bounce", "bounce", "bounce", "blocked", "defer", "silent", "spam")
_DEAD_NUMBERS: Final = ("0194", "0195", "0196")
_CONSENT: Final = {"source": "sign-up form", "wording": "Text me when something breaks."}


@dataclass(slots=True)
class Sample:
    """The rows of three import files, and the addresses to suppress."""

    components: list[Row] = field(default_factory=list)
    accounts: list[Row] = field(default_factory=list)
    contacts: list[Row] = field(default_factory=list)
    suppressed: list[str] = field(default_factory=list)


def make_sample(seed: int = 1) -> Sample:
    """Everything, made anew from the seed."""
    rng, names = Random(seed), Faker("en_US")
    names.seed_instance(seed)
    accounts = [_account(number, rng, names) for number in range(ACCOUNTS)]
    contacts = [
        _contact(number, account, rng, names)
        for number, account in enumerate(_places(accounts, rng))
    ]
    _give_numbers(contacts, rng)
    _share_inboxes(contacts)
    _make_trouble(contacts)
    mails = [row["email"] for row in contacts if "email" in row]
    return Sample(list(COMPONENTS), accounts, contacts, rng.sample(mails, SUPPRESSED))


def _account(number: int, rng: Random, names: Faker) -> Row:
    row: Row = {
        "external_id": f"acct-{number:03d}",
        "region": rng.choice(_REGIONS),
        "time_zone": rng.choice(_ZONES),
        "manager_name": names.name(),
    }
    if number < INTERNAL:
        return {**row, "name": f"{names.city()} office", "attributes": {"kind": "internal"}}
    if number < INTERNAL + ENTERPRISE:
        # A third by contract, the rest by size: both rules of the shipped file have work.
        attributes: Row = (
            {"tier": "enterprise"} if number % 3 == 0 else {"seats": rng.randint(500, 9000)}
        )
    else:
        attributes = {"tier": "self-serve", "seats": rng.randint(1, 120)}
    used = ["checkout"] if rng.random() < 0.8 else []  # noqa: PLR2004 - four of five
    used += rng.sample(["dashboard", "reports", "webhooks"], k=rng.randint(1, 2))
    usage = [{"component": name, "region": row["region"]} for name in used]
    return {**row, "name": names.unique.company(), "attributes": attributes, "usage": usage}


def _places(accounts: Sequence[Row], rng: Random) -> Iterator[Row]:
    """An account for each contact: everyone has two, large customers have more."""
    for account in accounts:
        yield from (account, account)
    weights = [1 + 2 * (INTERNAL <= n < INTERNAL + ENTERPRISE) for n in range(len(accounts))]
    yield from rng.choices(accounts, weights=weights, k=CONTACTS - 2 * len(accounts))


def _contact(number: int, account: Row, rng: Random, names: Faker) -> Row:
    first, last = names.first_name(), names.last_name()
    domain = _DOMAINS[int(account["external_id"][-3:]) % len(_DOMAINS)]
    row: Row = {
        "external_id": f"person-{number:04d}",
        "account": account["external_id"],
        "name": f"{first} {last}",
        "roles": [rng.choice(_ROLES)],
    }
    # A few are in the books without any address: the report must say so.
    if rng.random() > 0.01:  # noqa: PLR2004 - one in a hundred
        row["email"] = f"{first}.{last}{number}@{account['external_id']}.{domain}".lower()
    if rng.random() < 0.3:  # noqa: PLR2004 - three in ten use the application
        row["app_user"] = f"user-{number:04d}"
    return row


def _give_numbers(contacts: Sequence[Row], rng: Random) -> None:
    """Half have a mobile; of those, three in five agreed to texts."""
    numbers = [f"+1{area}555{100 + n:04d}" for area in _AREAS for n in range(_NUMBERS_AN_AREA)]
    rng.shuffle(numbers)
    for row in contacts[::2]:
        row["phone"] = numbers.pop()
        if rng.random() < 0.6:  # noqa: PLR2004 - three in five
            row["sms_consent"] = {"granted": True, **_CONSENT}


def _make_trouble(contacts: Sequence[Row]) -> None:
    reachable = [row for row in contacts if not row.get("email", "team@").startswith("team@")]
    for place, word in enumerate(_TROUBLE):
        row = reachable[101 + 37 * place]
        name, _, domain = row["email"].partition("@")
        row["email"] = f"{word}.{name}@{domain}"
    texted = [row for row in contacts if "sms_consent" in row]
    for place, ending in enumerate(_DEAD_NUMBERS):
        texted[20 + 11 * place]["phone"] = f"+1{_AREAS[place]}555{ending}"


def _share_inboxes(contacts: Sequence[Row]) -> None:
    """At every tenth account two people read one mailbox."""
    by_account: dict[str, list[Row]] = {}
    for row in contacts:
        by_account.setdefault(row["account"], []).append(row)
    for place, people in enumerate(by_account.values()):
        if place % 10 == 0 and all("email" in row for row in people[:2]):
            shared = f"team@{people[0]['email'].partition('@')[2]}"
            people[0]["email"] = people[1]["email"] = shared
