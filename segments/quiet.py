"""Quiet hours: the times of day at which a person would rather not be disturbed."""

from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def quiet_end(now: datetime, zone: str, quiet_from: time, quiet_until: time) -> datetime:
    """When the quiet hours that `now` falls into end; `now` itself outside of them.

    Hours that begin later than they end go over midnight. `now` is aware, the answer in UTC. A zone
    that nobody knows (any more) is taken for UTC, as `known_zone` in SQL does.
    """
    there = _known(zone)
    local = now.astimezone(there)
    clock = local.time()
    if quiet_from < quiet_until:
        quiet = quiet_from <= clock < quiet_until
    else:
        quiet = clock >= quiet_from or clock < quiet_until
    if not quiet:
        return now
    day = local.date() if clock < quiet_until else local.date() + timedelta(days=1)
    # Where the clocks go back, an hour comes round again, and quiet hours that end in it end the second time;
    # where they go forward, one that is skipped ends when it would have. `fold` is a guess at either.
    end = datetime.combine(day, quiet_until, tzinfo=there)
    return max(end.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def _known(zone: str) -> tzinfo:
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
