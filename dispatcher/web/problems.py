"""Every kind of refusal, in one table: the `type` of RFC 9457, its status, what it means, what to do."""

from collections.abc import Mapping
from typing import Final

from dispatcher.web.people.problems import PEOPLE_PROBLEMS
from dispatcher.web.problem_kind import Kind

PROBLEMS: Final[Mapping[str, Kind]] = {
    "malformed-json": Kind(
        status=400,
        title="The body is not JSON",
        meaning="The body is empty, cut off, nested too deeply, or not JSON at all.",
        remedy="Send one JSON object in UTF-8.",
    ),
    "malformed-request": Kind(
        status=400,
        title="The request cannot be read",
        meaning="Part of the HTTP request itself is damaged, such as a compressed body.",
        remedy="Check the client or the proxy in between.",
    ),
    "malformed-receipt": Kind(
        status=400,
        title="The receipt cannot be read",
        meaning="A provider's callback is incomplete, unsigned, or not in the form we know.",
        remedy="Check the callback address configured at the provider.",
    ),
    "malformed-event": Kind(
        status=400,
        title="The event cannot be read",
        meaning="The body is not what this kind of sender documents.",
        remedy="See `errors`: it points at the field. Check that the source has the right kind.",
    ),
    "idempotency-key-missing": Kind(
        status=400,
        title="The Idempotency-Key header is missing",
        meaning="An update is accepted once however often it is sent, and the key tells which is which.",
        remedy="Send Idempotency-Key with 1 to 200 printable characters, the same on every retry.",
    ),
    "invalid-query": Kind(
        status=400,
        title="The query cannot be used",
        meaning="A query parameter is unknown, given twice, or has a value it cannot have.",
        remedy="See `errors`: each entry names one parameter.",
    ),
    "key-missing": Kind(
        status=401,
        title="An API key is needed",
        meaning="The request has no Authorization header.",
        remedy="Send Authorization: Bearer tidings_live_…; `tidings keys create` makes a key.",
    ),
    "key-malformed": Kind(
        status=401,
        title="The API key is malformed",
        meaning="The Authorization header does not hold a key of the form tidings_live_<id>_<secret>.",
        remedy="Check that the whole key was copied and that the scheme is Bearer.",
    ),
    "key-unknown": Kind(
        status=401,
        title="The API key is not known here",
        meaning="The key is well formed, but no such key was made at this installation.",
        remedy="Check that the key belongs to this installation.",
    ),
    "key-revoked": Kind(
        status=401,
        title="The API key was revoked",
        meaning="Somebody revoked this key; it will not work again.",
        remedy="Make a new one with `tidings keys create`.",
    ),
    "key-expired": Kind(
        status=401,
        title="The API key has expired",
        meaning="The key was made with an end, and that has passed.",
        remedy="Make a new one with `tidings keys create`.",
    ),
    "banner-token-invalid": Kind(
        status=401,
        title="The banner token is not valid",
        meaning="It is missing, damaged, signed with another key, expired, or valid for over an hour.",
        remedy="Fetch a fresh token from your own backend and connect again.",
    ),
    "metrics-token-invalid": Kind(
        status=401,
        title="The metrics are not for everybody",
        meaning="The metrics token is missing or wrong; or none is set, and public_url is not this machine.",
        remedy="Set TIDINGS_METRICS__TOKEN and send it as Authorization: Bearer.",
    ),
    "missing-scope": Kind(
        status=403,
        title="A scope is missing",
        meaning="The key is valid, but not for this; a person's key may what their role may, at most.",
        remedy="Use a key with the scope that `detail` names, or ask an admin for a role that has it.",
    ),
    "own-accounts-only": Kind(
        status=403,
        title="This shows more than your own accounts",
        meaning="An account manager sees what concerns their own accounts, and nothing of other customers.",
        remedy="See `detail` for what there is instead, or ask somebody who may see all customers.",
    ),
    "origin-not-allowed": Kind(
        status=403,
        title="This web page may not read the banner",
        meaning="The Origin of the page is not among banner.origins.",
        remedy="Add the exact origin, such as https://app.example.com, to the settings.",
    ),
    "forged-receipt": Kind(
        status=403,
        title="The receipt is not signed by the provider",
        meaning="The signature does not fit the configured key and the configured public address.",
        remedy="Check public_url and the provider's signing key in the settings.",
    ),
    "forged-event": Kind(
        status=403,
        title="Nothing proves that this comes from the sender",
        meaning="The signature or the secret is missing, wrong, or too old.",
        remedy="Give the sender the source's secret, or the source the sender's: `tidings sources rotate`.",
    ),
    "source-disabled": Kind(
        status=403,
        title="The source is disabled",
        meaning="An operator decided that nothing is taken from this source any more.",
        remedy="Remove it at the sender, or enable it with `tidings sources enable`.",
    ),
    "not-found": Kind(
        status=404,
        title="There is nothing here",
        meaning="There is no such path or object, or not for you.",
        remedy="Check the address. Ids are opaque: use them as they were given.",
    ),
    "method-not-allowed": Kind(
        status=405,
        title="The method is not allowed here",
        meaning="The path exists, but not with this method.",
        remedy="Use one of the methods in the Allow header.",
    ),
    "timeout": Kind(
        status=408,
        title="The body took too long",
        meaning="The request's body did not arrive in time.",
        remedy="Send it again.",
    ),
    "idempotency-key-in-use": Kind(
        status=409,
        title="The same request is still running",
        meaning="Another request with this Idempotency-Key has not been answered yet.",
        remedy="Wait for Retry-After and send it again: the answer will be the stored one.",
    ),
    "source-exists": Kind(
        status=409,
        title="There is a source of this name",
        meaning="Incidents are known by the name of their source, so it can be given once.",
        remedy="Choose another name, or change the source there is.",
    ),
    "webhook-disabled": Kind(
        status=409,
        title="The webhook is disabled",
        meaning="Nothing is told this endpoint: a person, an answer 410 or five days of failure disabled it.",
        remedy="Mend the receiver, try it with the test button, and enable it: `tidings webhooks enable`.",
    ),
    "event-not-kept": Kind(
        status=409,
        title="The event was not kept",
        meaning="Nothing is kept of what nobody has proved, so there is nothing to process again.",
        remedy="Let the sender send it again.",
    ),
    "not-a-draft": Kind(
        status=409,
        title="The update is not a draft",
        meaning="Only a draft can be released, and only once.",
        remedy="Look at the update's state.",
    ),
    "overtaken": Kind(
        status=409,
        title="A newer update exists",
        meaning="The draft was written before the incident's newest update and may contradict it.",
        remedy="Write the draft again.",
    ),
    "dispatch-over": Kind(
        status=409,
        title="The dispatch has ended",
        meaning="It is completed or cancelled, so there is nothing left to stop.",
        remedy="Look at its report.",
    ),
    "not-paused": Kind(
        status=409,
        title="The dispatch is not paused",
        meaning="Only a paused dispatch can be resumed.",
        remedy="Nothing to do: it is going on.",
    ),
    "nothing-to-pause": Kind(
        status=409,
        title="Nothing is sent on this channel",
        meaning="Applications fetch banners when somebody looks, so there is nothing that could be held.",
        remedy="Cancel the dispatch to take its banners down.",
    ),
    "export-not-ready": Kind(
        status=409,
        title="The file is not made yet",
        meaning="A worker is still writing it, has not begun, or had to give it up.",
        remedy="Look at the export until its state is done; ask again if it has failed.",
    ),
    "changed-meanwhile": Kind(
        status=412,
        title="Somebody changed it meanwhile",
        meaning="The ETag in If-Match is not that of the thing as it is now.",
        remedy="Get it again, look at what is new, and send your change with the new ETag.",
    ),
    "if-match-missing": Kind(
        status=428,
        title="The If-Match header is missing",
        meaning="Two people may be changing this at once, so a change must say which version it is made to.",
        remedy="Get it first, and send the ETag of that answer as If-Match.",
    ),
    "too-large": Kind(
        status=413,
        title="The body is too large",
        meaning="The body is larger than this address accepts.",
        remedy="Send less at once; `detail` names the limit.",
    ),
    "wrong-content-type": Kind(
        status=415,
        title="The body must be JSON",
        meaning="Content-Type is not application/json.",
        remedy="Send Content-Type: application/json.",
    ),
    "content-encoding": Kind(
        status=415,
        title="Compressed bodies are not accepted",
        meaning="The request has a Content-Encoding.",
        remedy="Send the body as it is.",
    ),
    "invalid-request": Kind(
        status=422,
        title="The request cannot be accepted",
        meaning="The body is JSON, but one or more fields are missing, unknown or wrong.",
        remedy="See `errors`: each entry points at one field.",
    ),
    "empty-audience": Kind(
        status=422,
        title="Nobody would be told",
        meaning="No contact matches the components, regions, segments and accounts given.",
        remedy="Check them with `tidings audience count`, or import usage of the component.",
    ),
    "incomplete-draft": Kind(
        status=422,
        title="The draft is not complete",
        meaning="Facts are missing without which no message can be written.",
        remedy="Add them to the draft; `errors` names them.",
    ),
    "cannot-be-worded": Kind(
        status=422,
        title="No message can be written from these facts",
        meaning="The templates cannot make a text that fits from what was posted.",
        remedy="See `detail`; shorten or complete the facts.",
    ),
    "idempotency-key-reused": Kind(
        status=422,
        title="The Idempotency-Key was used for another body",
        meaning="Within 72 hours a key stands for one body.",
        remedy="Use a new key for a new update.",
    ),
    "too-many-requests": Kind(
        status=429,
        title="Too many calls",
        meaning="This key, or this client address, has called more often than is allowed here.",
        remedy="Wait for Retry-After and send it again; RateLimit tells beforehand what is left.",
    ),
    "too-many-streams": Kind(
        status=429,
        title="Too many open banner streams",
        meaning="This user, or this process, has as many streams open as are allowed.",
        remedy="Share one stream per browser, or poll GET /v1/banner.",
    ),
    "internal-error": Kind(
        status=500,
        title="Something went wrong here",
        meaning="This is a fault of ours. Nothing was half done.",
        remedy="Send it again; if it stays, report `request_id` to the operator.",
    ),
    "source-unreadable": Kind(
        status=503,
        title="The source's secret cannot be read",
        meaning="It was stored under another secret of the installation.",
        remedy="Restore TIDINGS_SECRET, or give the source a new secret: `tidings sources rotate`.",
    ),
    "wall-missing": Kind(
        status=503,
        title="Account managers cannot be served yet",
        meaning="The database lacks the role that keeps other customers' data from them.",
        remedy="The operator finds in `tidings doctor` what is missing and how to mend it.",
    ),
    "webhook-unreadable": Kind(
        status=503,
        title="The webhook's secret cannot be read",
        meaning="It was stored under another secret of the installation, so nothing can be signed.",
        remedy="Restore TIDINGS_SECRET, or give the endpoint a new secret: `tidings webhooks rotate`.",
    ),
    "unavailable": Kind(
        status=503,
        title="The database cannot be reached",
        meaning="Nothing was stored.",
        remedy="Wait for Retry-After and send it again with the same Idempotency-Key.",
    ),
} | PEOPLE_PROBLEMS

BY_STATUS: Final[Mapping[int, str]] = {
    404: "not-found",
    405: "method-not-allowed",
    408: "timeout",
    413: "too-large",
}
"""Which kind stands for what the HTTP library itself refuses; 400 stands for the rest."""
