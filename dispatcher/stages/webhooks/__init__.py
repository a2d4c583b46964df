"""Webhooks: other systems are told what happens here, signed, at least once, and never anywhere inside."""

from dispatcher.stages.webhooks.endpoints import (
    OVERLAP,
    Endpoint,
    change,
    create,
    disable,
    enable,
    find,
    list_endpoints,
    remove,
    rotate,
    secrets_of,
)
from dispatcher.stages.webhooks.failures import tell_failures
from dispatcher.stages.webhooks.log import (
    Logged,
    State,
    Try,
    find_logged,
    list_log,
    open_test,
    resend,
    trim_log,
)
from dispatcher.stages.webhooks.message import MESSAGE, Message
from dispatcher.stages.webhooks.outgoing import AttemptError, Outcome, outgoing
from dispatcher.stages.webhooks.turn import ENDPOINT, Held, lease_s, public_id, record, run, send

__all__ = [
    "ENDPOINT",
    "MESSAGE",
    "OVERLAP",
    "AttemptError",
    "Endpoint",
    "Held",
    "Logged",
    "Message",
    "Outcome",
    "State",
    "Try",
    "change",
    "create",
    "disable",
    "enable",
    "find",
    "find_logged",
    "lease_s",
    "list_endpoints",
    "list_log",
    "open_test",
    "outgoing",
    "public_id",
    "record",
    "remove",
    "resend",
    "rotate",
    "run",
    "secrets_of",
    "send",
    "tell_failures",
    "trim_log",
]
