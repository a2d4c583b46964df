"""How people, sessions and keys are refused; rows of the table in web/problems.py."""

from typing import Final

from dispatcher.web.problem_kind import Kind

PEOPLE_PROBLEMS: Final[dict[str, Kind]] = {
    "person-disabled": Kind(
        status=401,
        title="The person was disabled",
        meaning="The key or session belongs to somebody who may not work here any more.",
        remedy="An admin can enable them again: `tidings users enable`.",
    ),
    "session-over": Kind(
        status=401,
        title="The session has ended",
        meaning="A session ends after 12 hours, after 2 without use, and when the password is changed.",
        remedy="Sign in again: POST /v1/sessions.",
    ),
    "wrong-credentials": Kind(
        status=401,
        title="E-mail or password is wrong",
        meaning="Nobody here has this e-mail and this password; which of them is wrong is not told.",
        remedy="Try again, or ask an admin for a link: `tidings users link`.",
    ),
    "too-many-attempts": Kind(
        status=429,
        title="Too many attempts to sign in",
        meaning="After several failures each further one makes the next attempt wait longer.",
        remedy="Wait for Retry-After; a new link from an admin ends the wait at once.",
    ),
    "link-over": Kind(
        status=403,
        title="The link is not valid",
        meaning="It is damaged, was used, is older than a day, or was replaced by a newer one.",
        remedy="Ask an admin for a new one: `tidings users link`.",
    ),
    "user-exists": Kind(
        status=409,
        title="Somebody has this e-mail already",
        meaning="An e-mail stands for one person.",
        remedy="Change the person there is; who is disabled can be enabled.",
    ),
    "user-disabled": Kind(
        status=409,
        title="The person is disabled",
        meaning="A link would let nobody in.",
        remedy="Enable the person first.",
    ),
    "last-admin": Kind(
        status=409,
        title="An admin must remain",
        meaning="This would leave nobody who may administer the installation.",
        remedy="Make somebody else an admin first.",
    ),
    "key-over": Kind(
        status=409,
        title="The key cannot be replaced",
        meaning="It was revoked, has expired, or was replaced already.",
        remedy="Make a new one, or rotate the one that replaced it.",
    ),
    "signed-in-only": Kind(
        status=403,
        title="Only somebody who is signed in may do this",
        meaning="It concerns a person, and the caller is an API key.",
        remedy="Sign in: POST /v1/sessions.",
    ),
    "key-of-another": Kind(
        status=403,
        title="The key belongs to somebody else",
        meaning="Whoever holds a person's key acts under that person's name, so only they get a new one.",
        remedy="Revoke it, and let its owner make another.",
    ),
    "oidc-off": Kind(
        status=404,
        title="No identity provider is configured",
        meaning="Signing in by OpenID Connect is off here.",
        remedy="Sign in with e-mail and password, or set the group `oidc` of the settings.",
    ),
    "oidc-unavailable": Kind(
        status=503,
        title="The identity provider cannot be used",
        meaning="It does not answer, or not as OpenID Connect asks for.",
        remedy="Try again; check oidc.issuer, and what the log says.",
    ),
    "oidc-state-over": Kind(
        status=403,
        title="This sign-in is over",
        meaning="It was not begun here, has been used, or was begun more than ten minutes ago.",
        remedy="Begin again: POST /v1/sessions/oidc.",
    ),
    "oidc-elsewhere": Kind(
        status=403,
        title="This sign-in was begun somewhere else",
        meaning="The cookie that beginning it sets was not sent: another browser began it, or cookies are off.",
        remedy="Begin again: POST /v1/sessions/oidc, and send its cookie with the callback.",
    ),
    "oidc-code-refused": Kind(
        status=401,
        title="The identity provider does not know the code",
        meaning="It refused to give a token for it: the code is wrong, was used, or the client is.",
        remedy="Begin again; if it stays, check oidc.client_id and oidc.client_secret.",
    ),
    "oidc-token-refused": Kind(
        status=401,
        title="The identity provider's token cannot be believed",
        meaning="Its signature, issuer, audience, time or nonce is not what it must be.",
        remedy="Begin again; if it stays, `detail` tells the operator what is wrong.",
    ),
    "oidc-email-unproven": Kind(
        status=403,
        title="The identity provider does not vouch for the e-mail",
        meaning="Whom it does not know yet, Tidings finds by a verified e-mail; there was none.",
        remedy="Verify the e-mail at the identity provider, and let it send the claim.",
    ),
    "oidc-not-invited": Kind(
        status=403,
        title="You have no role here",
        meaning="Nobody made you a user, and the identity provider's claims give no role.",
        remedy="Ask an admin: `tidings users create`.",
    ),
}
