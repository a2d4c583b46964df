"""What a sandbox is told when it starts."""

from base64 import b64encode
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


def _well_known_key() -> SecretStr:
    """The same in every sandbox, so that its public half can be written down; it guards nothing."""
    number = int.from_bytes(sha256(b"the sandbox of tidings").digest())
    key = ec.derive_private_key(number, ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SecretStr(pem.decode())


class SandboxSettings(BaseModel):
    """Addresses, credentials, tempo and limits of the three make-believe providers.

    Times are seconds. The credentials are the sandbox's own: whoever sends to it must use the
    same ones, as with the real providers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=0, le=65_535)
    """0 takes a free port; `RunningSandbox.url` tells which."""

    sendgrid_api_key: SecretStr = SecretStr("SG.sandbox")
    sendgrid_webhook_private_key: SecretStr = Field(default_factory=_well_known_key)
    """PEM, ECDSA P-256; a well-known one when none is given."""
    twilio_account_sid: str = Field(
        default="AC" + "5a" * 16, pattern=r"^AC[0-9a-fA-F]{32}$", validate_default=True
    )
    twilio_auth_token: SecretStr = SecretStr("sandbox")
    x_consumer_key: SecretStr = SecretStr("sandbox")
    x_consumer_secret: SecretStr = SecretStr("sandbox")
    x_access_token: SecretStr = SecretStr("1-sandbox")
    """The digits before the hyphen are the posting user's id."""
    x_access_token_secret: SecretStr = SecretStr("sandbox")

    receipts_url: str | None = None
    """Where the product listens, without a path; None: no SendGrid events, no inbound texts."""
    public_url: str | None = None
    """What the product calls itself in callback URLs. Those are signed as given and dialled at
    `receipts_url`. None: callbacks are dialled as given."""

    seed: int = 1
    latency: Seconds = 0.08
    latency_jitter: Seconds = 0.04
    receipts_after: tuple[Seconds, Seconds] = (0.3, 3.0)
    deferred: Share = 0.02
    bounced: Share = 0.01
    event_batch: int = Field(default=100, ge=1, le=1_000)
    callback_connections: int = Field(default=16, ge=1, le=256)

    twilio_segments_per_second: float | None = Field(default=None, gt=0)
    """Rate of one sender; what waits longer than ten hours is refused with 21611."""
    twilio_concurrency: int | None = Field(default=None, ge=1)
    """Requests at a time; more are answered 429."""
    x_posts_per_15_minutes: int = Field(default=100, ge=1)
    x_posts_per_day: int = Field(default=10_000, ge=1)

    kept: int = Field(default=5_000, ge=0)
    """Mails whose bodies stay readable; older ones remain as ledger rows only. Texts and posts are
    small: twenty times as many stay."""
    journal: Path | None = None
    """JSON Lines file in which the ledger survives a restart."""

    @field_validator("receipts_url", "public_url")
    @classmethod
    def _is_an_origin(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url.rstrip("/") if url else None

    @model_validator(mode="after")
    def _receipts_in_order(self) -> Self:
        if self.receipts_after[0] > self.receipts_after[1]:
            raise ValueError("receipts_after: the first number must not exceed the second")
        _ = self.signing_key  # a malformed PEM shows at start, not at the first event
        return self

    @cached_property
    def signing_key(self) -> ec.EllipticCurvePrivateKey:
        """The key that signs SendGrid events."""
        pem = self.sendgrid_webhook_private_key.get_secret_value().encode()
        key = load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("sendgrid_webhook_private_key: must be an ECDSA P-256 key")  # noqa: TRY004 - pydantic turns ValueError into a field error
        return key

    @property
    def sendgrid_webhook_public_key(self) -> str:
        """What SendGrid's settings page shows: base64 of the DER form."""
        der = self.signing_key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return b64encode(der).decode()

    @property
    def x_user_id(self) -> str:
        """The user whose timeline receives the posts."""
        return self.x_access_token.get_secret_value().partition("-")[0]
