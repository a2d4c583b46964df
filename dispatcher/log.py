"""Logging: an event word plus fields, JSON off a terminal, and nothing that identifies a person.

Use `structlog.get_logger()` anywhere; call `configure_logging` once, at the edge of a process.
Records of the standard library pass the same processors, so a vendor's warning is masked too.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import EventDict, Processor, WrappedLogger

from channels.registry import TALKATIVE_LOGGERS

_QUIET_LOGGERS: Final = (
    *TALKATIVE_LOGGERS,
    "pgqueuer",
    "urllib3",
    "aiohttp.access",  # paths may hold tokens; the web server logs its own requests
)

_SECRET_KEY: Final = re.compile(
    r"secret|token|passw|authorization|api_?key|credential|cookie|signature|\bdsn\b", re.IGNORECASE
)
_MASKS: Final = (
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"), "[secret]"),
    (re.compile(r"\bSG\.[\w-]{8,}\.[\w-]{8,}"), "[secret]"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), "[secret]"),
    (re.compile(r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{8,}"), "[secret]"),
    (re.compile(r"\btidings_live_\w{8,}"), "[secret]"),
    (re.compile(r"\bwhsec_[\w+/=-]{8,}"), "[secret]"),
    # As in addresses and environments: the name stays, what it stands for does not.
    (
        re.compile(
            r"(?i)(?<![\w-])([\w-]{0,64}(?:secret|token|passw|pwd|api_?key|credential|signature)[\w-]{0,64}=)"
            r"[^\s&#,;\"']+"
        ),
        r"\1[secret]",
    ),
    (re.compile(r"(?<=/u/)[\w.~-]{8,}"), "[secret]"),
    (re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,128}(?:@|%40)[\w-]+(?:\.[\w-]+)+"), "[email]"),
    (re.compile(r"(?:\+|%2B)\d(?:[ ().-]{0,2}\d){6,14}"), "[phone]"),
)


def configure_logging(
    level: str = "INFO", stream: TextIO | None = None, *, as_json: bool | None = None
) -> None:
    """Send structlog and standard-library records to `stream` (default: standard error).

    `as_json` None means JSON unless the stream is a terminal.
    """
    out = sys.stderr if stream is None else stream
    use_json = not out.isatty() if as_json is None else as_json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = (
        [structlog.processors.format_exc_info, mask, structlog.processors.JSONRenderer()]
        if use_json
        else [
            structlog.processors.format_exc_info,
            mask,
            structlog.dev.ConsoleRenderer(colors=out.isatty()),
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pgqueuer").addFilter(_is_news)
    logging.getLogger("aiohttp.server").addFilter(_without_the_request)


def _is_news(record: logging.LogRecord) -> bool:
    """A queue whose connection is gone says so ten times a second, with a traceback; we say it once."""
    return "flush failed" not in record.getMessage().lower()


def _without_the_request(record: logging.LogRecord) -> bool:
    """What is not even HTTP comes from anybody, as often as they like: one word of it, nothing it said."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args, record.exc_info = "http.malformed", (), None
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.error = type(error).__name__
    return True


def mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor that blanks e-mail addresses, phone numbers and what looks like a secret."""
    return _masked_fields(event)


def _masked_fields(fields: MutableMapping[str, Any]) -> dict[str, Any]:
    return {
        key: "[secret]" if _SECRET_KEY.search(key) and isinstance(value, str) else _masked(value)
        for key, value in fields.items()
    }


def _masked(value: object) -> object:
    match value:
        case str():
            return masked_text(value)
        case bool() | int() | float() | None:
            return value
        case dict():
            return _masked_fields(value)
        case list() | tuple() | set() | frozenset():
            return [_masked(item) for item in value]
        case _:
            return masked_text(str(value))


def masked_text(text: str) -> str:
    """`text` with every address, number and secret replaced by a word in brackets."""
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return text
