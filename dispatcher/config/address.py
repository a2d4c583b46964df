"""Whether what somebody wrote as the address of PostgreSQL is one, before anybody tries to reach it."""

from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

_SUCH_AS: Final = "such as postgresql://user@host:5432/name"
_MOST: Final = 65535


def check_database_address(text: str) -> None:
    """Raises ValueError with a sentence that has nothing of `text` in it: there may be a password."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"has brackets that are no IPv6 address; write it {_SUCH_AS}") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError(f"must begin with postgresql://, {_SUCH_AS}")
    if _ended_early(parts):
        raise ValueError(
            "has @, /, # or ? in its user or password; write them as %40, %2F, %23 and %3F"
        )
    hosts = parts.netloc.rpartition("@")[2]
    if not all(map(_has_a_port_or_none, hosts.split(","))):
        raise ValueError(f"has a port that is no number from 1 to {_MOST}; write it {_SUCH_AS}")
    try:
        parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError("has something after its ? that is not name=value") from None


def _ended_early(parts: SplitResult) -> bool:
    """Whether a character of the password was taken for the end of the host."""
    astray = "@" in parts.path or bool(parts.fragment) or parts.netloc.count("@") > 1
    return astray or ("@" in parts.query and "@" not in parts.netloc)


def _has_a_port_or_none(host: str) -> bool:
    behind = host.rpartition("]")[2]
    _, colon, port = behind.rpartition(":")
    return not colon or (port.isascii() and port.isdecimal() and 0 < int(port) <= _MOST)
