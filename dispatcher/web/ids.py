"""Public ids in paths and answers: which word stands before which number."""

from typing import Final

from dispatcher.context import Context
from dispatcher.ids import ForgedIdError
from dispatcher.rules.problem import not_found

INCIDENT: Final = "inc"
UPDATE: Final = "upd"
DISPATCH: Final = "dsp"
EXPORT: Final = "exp"
SOURCE: Final = "src"
COMPONENT: Final = "cmp"
EVENT: Final = "evt"
USER: Final = "usr"
WEBHOOK: Final = "whk"
WEBHOOK_DELIVERY: Final = "whd"
UNSUBSCRIBE: Final = "uns"

_WORDS: Final = {
    INCIDENT: "incident",
    UPDATE: "update",
    DISPATCH: "dispatch",
    EXPORT: "export",
    SOURCE: "source",
    EVENT: "event",
    USER: "user",
    WEBHOOK: "webhook",
    WEBHOOK_DELIVERY: "webhook delivery",
}


def number_of(ctx: Context, kind: str, text: str) -> int:
    """The number behind a public id; 404 for anything that is none of ours."""
    try:
        return ctx.signer.read_public_id(kind, text)
    except ForgedIdError:
        raise not_found(_WORDS.get(kind, "link")) from None
