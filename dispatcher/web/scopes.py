"""What a key may do, and what stands in for a key where there is none."""

from enum import StrEnum

from dispatcher.rules.roles import Scope

__all__ = ["Guard", "Scope"]


class Guard(StrEnum):
    """What admits a request other than the scope of a key.

    `ANY_KEY`: whoever has a key, whatever its scopes; the handler looks what the caller may.
    `IN_THE_BODY`: the proof is what is posted, such as a password.
    """

    ANY_KEY = "any_key"
    OPEN = "open"
    IN_THE_BODY = "in_the_body"
    BANNER_TOKEN = "banner_token"  # noqa: S105 - the name of a kind of proof, not one
    REPORT_READER = "report_reader"
    PROVIDER_SIGNATURE = "provider_signature"
    SENDER_PROOF = "sender_proof"
