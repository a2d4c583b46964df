"""Times in words: always a clock and a zone, the date where it is not the day of the message."""

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MINUTE = timedelta(minutes=1)
_HALF_A_YEAR = timedelta(days=183)


def clock(moment: datetime, *, on: datetime, zone: str) -> str:
    """`14:30 UTC`, with `on Mon 23 Nov` when that is not the day of `on`, and the year when far off.

    Far off is another year, or more than half a year away.
    """
    local, day = moment.astimezone(ZoneInfo(zone)), on.astimezone(ZoneInfo(zone))
    text = f"{local:%H:%M} {local.tzname()}"
    if local.date() == day.date():
        return text
    far = local.year != day.year or abs(local - day) > _HALF_A_YEAR
    return f"{text} on {_date(local)}{f' {local.year}' if far else ''}"


def between(earliest: datetime, latest: datetime, *, on: datetime, zone: str) -> str:
    """`between 15:00 and 16:30 UTC`, with the dates where they are needed."""
    first, last = earliest.astimezone(ZoneInfo(zone)), latest.astimezone(ZoneInfo(zone))
    if first.date() == last.date() and first.tzname() == last.tzname():
        return f"between {first:%H:%M} and {clock(latest, on=on, zone=zone)}"
    return f"between {clock(earliest, on=on, zone=zone)} and {clock(latest, on=on, zone=zone)}"


def stamp(moment: datetime, *, zone: str) -> str:
    """`13:40 UTC, Sun 22 Nov 2026`."""
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%H:%M} {local.tzname()}, {_date(local)} {local.year}"


@lru_cache(maxsize=4096)
def there(instant: str, zone: str) -> str:
    """` (15:30 in Berlin)` for an ISO 8601 instant; empty in UTC and where `zone` is no place."""
    city = zone.rpartition("/")[2].replace("_", " ")
    if not instant or "/" not in zone or zone.startswith("Etc/"):
        return ""
    moment = datetime.fromisoformat(instant)
    try:
        local = moment.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError, OverflowError):
        return ""
    day = "" if local.date() == moment.date() else f" on {_date(local)}"
    return f" ({local:%H:%M} in {city}{day})"


def lasted(start: datetime, end: datetime, *, brief: bool = False) -> str:
    """`1 hour 35 minutes`, or `1 h 35 min` when brief: the two largest units that say enough."""
    minutes = max(0, int((end - start) / _MINUTE))
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = _BRIEF_UNITS if brief else _UNITS
    counted = zip((days, hours, minutes), units, strict=True)
    said = [f"{n} {one if n == 1 else many}" for n, (one, many) in counted if n]
    return " ".join(said[:2]) or "less than a minute"


def _date(local: datetime) -> str:
    # Not %a and %b: they follow the locale of the process.
    return f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]}"


_UNITS = (("day", "days"), ("hour", "hours"), ("minute", "minutes"))
_BRIEF_UNITS = (("d", "d"), ("h", "h"), ("min", "min"))
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
