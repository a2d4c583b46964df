import re
from collections import Counter

import pytest

from dispatcher.cli.sample import ACCOUNTS, CONTACTS, Sample, make_sample
from segments.records import AccountIn, ComponentIn, ContactIn
from segments.rules import SHIPPED_RULES, load_rules, segment_of


@pytest.fixture(scope="module")
def sample() -> Sample:
    return make_sample()


def test_the_numbers_are_those_promised(sample: Sample) -> None:
    assert (len(sample.accounts), len(sample.contacts)) == (ACCOUNTS, CONTACTS) == (300, 2000)


def test_the_same_seed_makes_the_same_customers(sample: Sample) -> None:
    assert make_sample() == sample
    assert make_sample(2) != sample


def test_every_row_is_valid_and_known_by_one_name(sample: Sample) -> None:
    for model, rows in (
        (ComponentIn, sample.components),
        (AccountIn, sample.accounts),
        (ContactIn, sample.contacts),
    ):
        made = [model.model_validate(row) for row in rows]
        assert len({item.external_id for item in made}) == len(rows)


def test_no_address_can_belong_to_anybody(sample: Sample) -> None:
    mail = re.compile(r"[^@]+@acct-\d{3}\.example\.(com|org|net)")
    phone = re.compile(r"\+1\d{3}55501\d{2}")
    assert all(mail.fullmatch(row["email"]) for row in sample.contacts if "email" in row)
    numbers = [row["phone"] for row in sample.contacts if "phone" in row]
    assert all(phone.fullmatch(number) for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_all_three_segments_are_there_and_most_accounts_are_small(sample: Sample) -> None:
    rules = load_rules(SHIPPED_RULES)
    found = Counter(segment_of(row["attributes"], rules).segment for row in sample.accounts)
    assert found == {"smb": 240, "enterprise": 45, "internal": 15}


def test_there_is_something_to_go_wrong(sample: Sample) -> None:
    mails = Counter(row["email"] for row in sample.contacts if "email" in row)
    assert sum(n > 1 for n in mails.values()) == 30  # shared inboxes
    assert sum(mail.startswith(("bounce.", "silent.")) for mail in mails) == 4
    assert any("email" not in row for row in sample.contacts)
    assert any("phone" in row and "sms_consent" not in row for row in sample.contacts)
    assert len(sample.suppressed) == len(set(sample.suppressed)) == 25
