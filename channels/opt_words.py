"""What a person who texts us back wants: no more texts, or texts again.

Providers match bare keywords only. The rule here is the law's: any words a reasonable person reads
as "stop" count. Doubt goes to stop, since a text too few costs less than one against a wish.
"""

import re
from enum import Enum


class Wish(Enum):
    """What the text asks for."""

    STOP = "stop"
    START = "start"


# Anywhere in the text: nobody writes these about anything else.
_PLAIN = re.compile(
    r"\b(unsubscribe|stop ?all|opt(ing|ed)? ?out|remove me|take me off|leave me alone"
    r"|(do not|dont|no more|quit|stop) (text|message|sms|contact|send|call)\w*)\b"
)
_KEYWORDS = frozenset({"stop", "stopall", "quit", "end", "revoke", "optout", "cancel", "arret"})
_COURTESY = frozenset(
    {"all", "hello", "hi", "it", "messages", "now", "ok", "please", "pls", "sms", "texts"}
    | {"thank", "thanks", "this", "you"}
)
# "Stop bothering me today" is about us, "stop the pager in room four" is not.
_MOST_WORDS_BEHIND_STOP = 3
_BACK = frozenset({"start", "unstop"})


def wish(text: str, opt_out_type: str = "") -> Wish | None:
    """The wish in `text`; `opt_out_type` is the provider's own reading, if it had one."""
    words = re.findall(r"[a-z]+", re.sub(r"['\N{RIGHT SINGLE QUOTATION MARK}]", "", text.lower()))
    if opt_out_type == "STOP" or _reads_as_stop(words):
        return Wish.STOP
    if opt_out_type == "START" or (len(words) == 1 and words[0] in _BACK):
        return Wish.START
    return None


def _reads_as_stop(words: list[str]) -> bool:
    if _PLAIN.search(" ".join(words)) or "".join(words) in _KEYWORDS:
        return True
    core = [word for word in words if word not in _COURTESY]
    if not core or core[0] not in _KEYWORDS:
        return False
    return len(core) == 1 or (core[0] == "stop" and len(core) <= 1 + _MOST_WORDS_BEHIND_STOP)
