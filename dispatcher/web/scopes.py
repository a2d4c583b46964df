"""What a key may do, and what stands in for a key where there is none."""

from enum import StrEnum


class Scope(StrEnum):
    """One right of an API key; `admin` has them all."""

    UPDATES_WRITE = "updates:write"
    INCIDENTS_READ = "incidents:read"
    DELIVERIES_READ = "deliveries:read"
    RECIPIENTS_READ_PII = "recipients:read_pii"
    APPROVALS_WRITE = "approvals:write"
    SEGMENTS_WRITE = "segments:write"
    ADMIN = "admin"


class Guard(StrEnum):
    """What admits a request that carries no key."""

    OPEN = "open"
    BANNER_TOKEN = "banner_token"  # noqa: S105 - the name of a kind of proof, not one
    REPORT_READER = "report_reader"
    PROVIDER_SIGNATURE = "provider_signature"
    SENDER_PROOF = "sender_proof"
