"""Every reason a delivery can carry, in words an account manager understands, with advice."""

from dataclasses import dataclass
from enum import IntEnum

from channels.model import Reason
from dispatcher.rules.states import Shown
from segments.model import Exclusion, SuppressionReason


class Decision(IntEnum):
    """Why we ourselves did not send (100 and above; 1-29 belong to segments, 30-99 to channels)."""

    NEWER_UPDATE = 100
    NEVER_TOLD = 101
    TIME_TO_LIVE = 102
    CANCELLED_BY_PERSON = 103
    NO_PROOF = 104
    ERASED = 105
    NO_WORDS = 106
    ALREADY_TOLD = 107
    UNSUBSCRIBED = 108
    ADDRESS_CHANGED = 109
    NOT_FILLED_IN = 110


@dataclass(frozen=True, slots=True)
class Words:
    """`code` is the stable word of the API; `text` says what happened; `advice` what to do."""

    code: str
    text: str
    advice: str


_PHONE = "Tell them yourself, then correct the address."
_NOTHING = "Nothing to do."

REASONS: dict[int, Words] = {
    0: Words("", "", ""),
    Exclusion.NO_ADDRESS: Words("no_address", "No address on this channel", "Ask for one."),
    Exclusion.SUPPRESSED: Words(
        "suppressed", "On the suppression list", "Use another channel, or ask whether to lift it."
    ),
    Exclusion.NO_CONSENT: Words(
        "no_consent", "No consent for this channel on record", "Ask for consent before texting."
    ),
    Exclusion.SHARED_INBOX: Words("shared_inbox", "Covered by a shared inbox", _NOTHING),
    Exclusion.NOT_CONFIGURED: Words(
        "not_configured", "The channel has no credentials", "Configure the provider."
    ),
    Exclusion.CAPPED: Words("capped", "Over this person's message budget", "Tell them yourself."),
    Reason.INVALID_ADDRESS: Words("invalid_address", "The address is malformed", _PHONE),
    Reason.UNKNOWN_ADDRESS: Words("unknown_address", "The address does not exist", _PHONE),
    Reason.CANNOT_RECEIVE: Words(
        "cannot_receive", "The number cannot receive texts", "Ask for a mobile number."
    ),
    Reason.OPTED_OUT: Words("opted_out", "They told the provider to stop", "Use another channel."),
    Reason.COMPLAINED: Words("complained", "They marked us as spam", "Use another channel."),
    Reason.BLOCKED: Words(
        "blocked", "Refused by the receiving side", "Ask their administrator to let us through."
    ),
    Reason.FILTERED: Words(
        "filtered", "Filtered by a carrier or mailbox", "Check the wording and links."
    ),
    Reason.TOO_LONG: Words("too_long", "The message was too long", "Shorten the update."),
    Reason.CONTENT_REFUSED: Words(
        "content_refused", "The provider refused the message", "See the detail."
    ),
    Reason.DUPLICATE_POST: Words("duplicate_post", "The same words were already posted", _NOTHING),
    Reason.UNREACHABLE_NOW: Words(
        "unreachable_now",
        "Phone or mailbox not accepting messages right now",
        "Try another channel.",
    ),
    Reason.THROTTLED: Words("throttled", "The provider asked us to wait", "It goes out by itself."),
    Reason.ACCOUNT_PROBLEM: Words(
        "account_problem",
        "The provider refuses our account",
        "Check credentials and sender registration.",
    ),
    Reason.PROVIDER_DOWN: Words(
        "provider_down", "The provider cannot be reached", "It goes out by itself."
    ),
    Reason.NOT_CONFIGURED: Words(
        "not_configured", "The channel has no credentials", "Configure the provider."
    ),
    Reason.NO_RECEIPT: Words(
        "no_receipt", "Accepted, but no proof of delivery yet", "Wait, or call."
    ),
    Reason.PROVIDER_ERROR: Words(
        "provider_error", "The provider failed the message", "Try another channel."
    ),
    Reason.EXPIRED_AT_PROVIDER: Words(
        "expired_at_provider",
        "Too old before the provider could deliver it",
        "See the newest update.",
    ),
    Reason.NOT_TRIED: Words(
        "not_tried", "A neighbour in the same request was refused", "It goes out by itself."
    ),
    Decision.NEWER_UPDATE: Words(
        "newer_update", "A newer update replaced it before it left", _NOTHING
    ),
    Decision.NEVER_TOLD: Words(
        "never_told", "Never told of the incident, so not told of its end", _NOTHING
    ),
    Decision.TIME_TO_LIVE: Words(
        "time_to_live", "Too old to be of use when its turn came", "Tell them now."
    ),
    Decision.CANCELLED_BY_PERSON: Words("cancelled", "Cancelled before it left", _NOTHING),
    Decision.NO_PROOF: Words(
        "no_proof", "It may or may not have left; the provider could not say", "Ask the customer."
    ),
    Decision.ERASED: Words("erased", "The person was erased", _NOTHING),
    Decision.NO_WORDS: Words("no_words", "No wording for this segment", "Check the templates."),
    Decision.ALREADY_TOLD: Words("already_told", "Proof of an earlier attempt arrived", _NOTHING),
    Decision.UNSUBSCRIBED: Words("unsubscribed", "They unsubscribed before it left", _NOTHING),
    Decision.ADDRESS_CHANGED: Words(
        "address_changed",
        "The address was changed or removed before it left",
        "Tell them yourself.",
    ),
    Decision.NOT_FILLED_IN: Words(
        "not_filled_in",
        "No message could be made for this person",
        "Tell them yourself, and report the fault: the log names it.",
    ),
}

_NO_REASON: dict[Shown, Words] = {
    Shown.FAILED: Words(
        "unknown", "It failed, and the provider gave no reason", "Try another channel."
    ),
    Shown.UNCONFIRMED: Words(
        "no_proof", "It may or may not have left; the provider could not say", "Ask the customer."
    ),
    Shown.ACCEPTED: Words(
        "not_seen", "It waits in the application, nobody has opened it", "Tell them."
    ),
}


def words_for(status: Shown, reason: int) -> Words:
    """Plain words for a reason; where none was recorded, for the status."""
    nothing = Words(status.word, status.word.capitalize(), "")
    if reason == 0:
        return _NO_REASON.get(status, nothing)
    return REASONS.get(reason, nothing)


_SUPPRESSIONS: dict[int, SuppressionReason] = {
    Reason.OPTED_OUT: SuppressionReason.OPTED_OUT,
    Reason.COMPLAINED: SuppressionReason.COMPLAINED,
    Reason.INVALID_ADDRESS: SuppressionReason.BOUNCED,
    Reason.UNKNOWN_ADDRESS: SuppressionReason.BOUNCED,
    Reason.CANNOT_RECEIVE: SuppressionReason.BOUNCED,
}


def suppression_reason(reason: int) -> SuppressionReason:
    """Why an address must rest, given the reason (0: none told) of the refusal that says so."""
    return _SUPPRESSIONS.get(reason, SuppressionReason.REFUSED_BY_PROVIDER)
