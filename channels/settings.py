"""What each provider needs to be reached. The dispatcher builds it; no environment is read here."""

from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http(s) URL such as https://api.example.com")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("must have no user, query or fragment: only scheme, host and path")
    return value.rstrip("/")


def _elliptic_public_key(value: str) -> str:
    try:
        key = load_der_public_key(a2b_base64(value, strict_mode=True))
    except (Base64Error, ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, EllipticCurvePublicKey):
        return value
    raise ValueError("must be the one-line verification key shown in the Event Webhook settings")


BaseUrl = Annotated[str, AfterValidator(_web_address)]
PublicKey = Annotated[str, AfterValidator(_elliptic_public_key)]
Seconds = Annotated[float, Field(gt=0, le=60)]


class _ProviderSettings(BaseModel):
    """Credentials come all or none: half a set is a mistake that must be named at start."""

    # The default message repeats the input, and the input holds secrets.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    credentials: ClassVar[tuple[str, ...]]

    @property
    def configured(self) -> bool:
        """Whether messages can be sent through this provider."""
        return not self._missing()

    def _missing(self) -> list[str]:
        return [name for name in self.credentials if not getattr(self, name)]

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        missing = self._missing()
        if missing and len(missing) < len(self.credentials):
            given = ", ".join(name for name in self.credentials if name not in missing)
            raise ValueError(f"{', '.join(missing)} missing: set it, or remove {given} too")
        return self


class SendGridSettings(_ProviderSettings):
    """E-mail. Without a webhook key mails go out, but every receipt is refused as forged."""

    credentials: ClassVar[tuple[str, ...]] = ("api_key",)

    api_key: SecretStr | None = None
    base_url: BaseUrl = "https://api.sendgrid.com"
    webhook_public_key: PublicKey | None = None
    previous_webhook_public_key: PublicKey | None = None
    timeout_s: Seconds = 10


class TwilioSettings(_ProviderSettings):
    """Texts. The auth token also signs callbacks; the previous one is accepted while it rotates."""

    credentials: ClassVar[tuple[str, ...]] = ("account_sid", "auth_token")

    account_sid: str | None = None
    auth_token: SecretStr | None = None
    previous_auth_token: SecretStr | None = None
    base_url: BaseUrl = "https://api.twilio.com"
    timeout_s: Seconds = 10


class XSettings(_ProviderSettings):
    """Posts on X. `user_id` is read off the access token when not given."""

    credentials: ClassVar[tuple[str, ...]] = (
        "consumer_key",
        "consumer_secret",
        "access_token",
        "access_token_secret",
    )

    consumer_key: SecretStr | None = None
    consumer_secret: SecretStr | None = None
    access_token: SecretStr | None = None
    access_token_secret: SecretStr | None = None
    user_id: str | None = Field(default=None, pattern=r"^[0-9]{1,19}$")
    base_url: BaseUrl = "https://api.twitter.com"
    timeout_s: Seconds = 10


class ChannelSettings(BaseModel):
    """One section per provider; a section without credentials leaves its channel out."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    sendgrid: SendGridSettings = SendGridSettings()
    twilio: TwilioSettings = TwilioSettings()
    x: XSettings = XSettings()
