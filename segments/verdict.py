"""Why one contact is in or out, in sentences: the rules of AUDIENCE_SQL for a single person.

It says the same as the SQL by other means, and a property test holds the two together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Final, TypeAlias

from segments.model import PERSONAL_CHANNELS, AudienceQuery, Channel
from segments.quiet import quiet_end

Step: TypeAlias = tuple[bool, str]
"""Whether this step lets the person through, and why."""

CHANNEL_NAMES: Final[Mapping[Channel, str]] = {
    Channel.EMAIL: "e-mail",
    Channel.SMS: "text messages",
    Channel.SOCIAL: "social posts",
    Channel.BANNER: "the in-app banner",
}
_ADDRESS_NAMES: Final[Mapping[Channel, str]] = {
    Channel.EMAIL: "e-mail address",
    Channel.SMS: "phone number",
    Channel.SOCIAL: "handle",
    Channel.BANNER: "app user",
}


@dataclass(frozen=True, slots=True)
class Account:
    """The account a person belongs to."""

    id: int
    name: str
    segment: str
    segment_rule: str
    removed: bool
    uses: tuple[tuple[str, str], ...]
    """Component name and region, of the components the incident concerns; region '' is all."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a person can be reached at on one channel."""

    consented: bool | None
    suppressed: bool
    covered_by: str | None
    """Another contact (external id) with the same address, who is told first."""


@dataclass(frozen=True, slots=True)
class Person:
    """All that decides about one contact."""

    account: Account
    removed: bool
    roles: frozenset[str]
    zone: str
    quiet: tuple[time, time] | None
    wishes: Mapping[tuple[int, int], bool] = field(default_factory=dict)
    """(channel, component id or 0) -> wanted"""
    endpoints: Mapping[int, Endpoint] = field(default_factory=dict)
    """by channel"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a contact would be told on a channel; `reasons` end with the one that decided."""

    channel: Channel
    told: bool
    not_before: datetime
    reasons: tuple[str, ...]


def judge(person: Person, query: AudienceQuery, now: datetime) -> list[Verdict]:
    """One verdict per channel that can reach a person."""
    return [_verdict(person, query, channel, now) for channel in sorted(PERSONAL_CHANNELS)]


def _verdict(person: Person, query: AudienceQuery, channel: Channel, now: datetime) -> Verdict:
    reasons: list[str] = []
    for passes, reason in _steps(person, query, channel):
        reasons.append(reason)
        if not passes:
            return Verdict(channel, told=False, not_before=now, reasons=tuple(reasons))
    not_before = now
    if query.quiet_binds and person.quiet is not None:
        not_before = quiet_end(now, person.zone, *person.quiet)
        if not_before > now:
            reasons.append(f"It waits for the end of their quiet hours ({person.zone}).")
    return Verdict(channel, told=True, not_before=not_before, reasons=tuple(reasons))


def _steps(person: Person, query: AudienceQuery, channel: Channel) -> Iterator[Step]:
    yield from _account_steps(person, query)
    yield _policy(person, query, channel)
    yield _wish(person, query, channel)
    yield from _address_steps(person, channel)


def _account_steps(person: Person, query: AudienceQuery) -> Iterator[Step]:
    account = person.account
    if person.removed:
        yield False, "The contact was removed."
    if account.removed:
        yield False, f"Account {account.name} was removed."
    if account.id in query.exclude_account_ids:
        yield False, f"Account {account.name} is excluded by name."
    yield True, f"Segment {account.segment}, by rule {account.segment_rule!r}."
    if query.segments and account.segment not in query.segments:
        yield False, f"Only segments {', '.join(query.segments)} are to be told."
    yield _affected(account, query)


def _affected(account: Account, query: AudienceQuery) -> Step:
    if account.segment in query.always_segments:
        return True, f"Segment {account.segment} is told of every incident."
    if query.visibility == "internal":
        return False, "The incident is internal."
    if query.account_ids:
        if account.id in query.account_ids:
            return True, f"Account {account.name} is named."
        return False, f"Account {account.name} is not among the accounts named."
    used = [
        (component, region)
        for component, region in account.uses
        if not query.regions or region in {"", *query.regions}
    ]
    if used:
        through = ", ".join(
            f"{component} in {region or 'every region'}" for component, region in sorted(used)
        )
        return True, f"Account {account.name} is affected through {through}."
    where = f" in {', '.join(query.regions)}" if query.regions else ""
    return False, f"Account {account.name} uses nothing that is affected{where}."


def _policy(person: Person, query: AudienceQuery, channel: Channel) -> Step:
    segment, name = person.account.segment, CHANNEL_NAMES[channel]
    rules = zip(query.rule_segments, query.rule_channels, query.rule_roles, strict=True)
    for rule_segment, rule_channel, roles in rules:
        if (rule_segment, rule_channel) != (segment, channel):
            continue
        if not roles:
            return True, f"The policy allows {name} for segment {segment}."
        if person.roles.isdisjoint(roles.split(",")):
            return False, f"The policy keeps {name} in segment {segment} for: {roles}."
        return True, f"The policy allows {name} for their role in segment {segment}."
    return False, f"The policy does not use {name} for segment {segment}."


def _wish(person: Person, query: AudienceQuery, channel: Channel) -> Step:
    general = person.wishes.get((channel, 0), True)
    wanted = [
        person.wishes.get((channel, component), general) for component in query.component_ids
    ] or [general]
    name = CHANNEL_NAMES[channel]
    if any(wanted):
        return True, f"They have not unsubscribed from {name}."
    return False, f"They do not want {name} about this."


def _address_steps(person: Person, channel: Channel) -> Iterator[Step]:
    endpoint, name = person.endpoints.get(channel), _ADDRESS_NAMES[channel]
    if endpoint is None:
        yield False, f"No {name} is known."
        return
    if endpoint.suppressed:
        yield False, f"Their {name} is suppressed."
    if channel is Channel.SMS:
        yield _consent(endpoint)
    if endpoint.covered_by is not None:
        yield False, f"Contact {endpoint.covered_by} has the same {name} and gets the message."
    yield True, f"Their {name} can be reached."


def _consent(endpoint: Endpoint) -> Step:
    if endpoint.consented is None:
        return False, "Text messages need consent, and none is on record."
    if not endpoint.consented:
        return False, "They took back their consent to text messages."
    return True, "They consented to text messages."
