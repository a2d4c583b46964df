"""Everything an operator may set, with defaults that run the demo."""

import os
from pathlib import Path
from typing import Annotated, Final, Literal, Self, assert_never
from urllib.parse import urlsplit

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from channels.model import ChannelKind
from channels.settings import ChannelSettings, SendGridSettings, TwilioSettings, XSettings
from dispatcher.config.address import check_database_address
from dispatcher.config.oidc import OidcSettings
from dispatcher.config.preview import PreviewSettings, SmsPrices
from templates.brand import Brand

_SECRET_MIN_LENGTH: Final = 32

Port = Annotated[int, Field(ge=0, le=65535)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DatabaseSettings(_Group):
    """Where PostgreSQL is; without a url the embedded one starts. Times in seconds.

    `direct_url` leads past a pooler that `url` leads to, for what needs a session of its own: listening
    and migrations. `transaction_pooler`: that pooler lends a session for one transaction only.
    `link_timeout_s`: a connection on which nothing gets through for so long is given up.
    `receipts_pool_max`: connections of web that take in callbacks and nothing else.
    """

    url: SecretStr | None = None
    direct_url: SecretStr | None = None
    transaction_pooler: bool = False
    pool_min: PositiveInt = 2
    pool_max: PositiveInt = 10
    receipts_pool_max: PositiveInt = 2
    statement_timeout_s: PositiveFloat = 30
    connect_timeout_s: PositiveFloat = 10
    link_timeout_s: PositiveFloat = 10

    @field_validator("url", "direct_url")
    @classmethod
    def _is_an_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_database_address(value.get_secret_value())
        return value

    @property
    def session_url(self) -> SecretStr | None:
        """Where a connection is a session of its own: notifications and session locks need one."""
        return self.direct_url or self.url

    @model_validator(mode="after")
    def _listening_needs_a_session(self) -> Self:
        if self.direct_url is not None and self.url is None:
            raise ValueError("url is missing: direct_url leads past what url leads to")
        if self.transaction_pooler and self.direct_url is None:
            raise ValueError(
                "direct_url is missing: nothing can be listened to through a transaction pooler"
            )
        return self


def _default_embedded_dir() -> Path:
    # PostgreSQL refuses to run as root, and the user it runs as cannot enter root's home.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/tidings")
    return Path(platformdirs.user_data_dir("tidings"))


class EmbeddedSettings(_Group):
    """The PostgreSQL that starts where none is configured."""

    dir: Path = Field(default_factory=_default_embedded_dir)
    version: Literal[16, 18] = 18
    ephemeral: bool = False

    @field_validator("version", mode="before")
    @classmethod
    def _a_word_is_a_number(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value.isdecimal() else value


class WebSettings(_Group):
    """Where the web process listens."""

    host: str = "127.0.0.1"
    port: Port = 8080


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or f"{parts.scheme}://{parts.netloc}" != value:
        raise ValueError("must be an origin such as https://app.example.com, without a path")
    return value


class BannerSettings(_Group):
    """Which web pages may show the banner: exact origins. `demo` makes /demo/banner hand out tokens."""

    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    demo: bool = False


class StatusSettings(_Group):
    """Whether everybody may read components and public incidents below /api/v2 and as feeds."""

    public: bool = False


class WorkerSettings(_Group):
    """Rhythm of a worker process, in seconds.

    What a dead worker had in flight is taken from it after `lease_s` and one turn of the sweep at most:
    28 seconds, unless changed. Heartbeats renew the lease, so one may be missed.
    """

    heartbeat_s: PositiveFloat = 8
    lease_s: PositiveFloat = 25
    dequeue_timeout_s: PositiveFloat = 1
    reconcile_window_s: PositiveFloat = 120
    sweep_every_s: PositiveFloat = 3
    drain_s: PositiveFloat = 25
    park_receipts_s: PositiveFloat = 900

    @model_validator(mode="after")
    def _a_lease_outlives_a_missed_heartbeat(self) -> Self:
        if self.lease_s < 2 * self.heartbeat_s:
            raise ValueError(
                "lease_s must be at least twice heartbeat_s, or a worker loses its work to one late heartbeat"
            )
        return self


class MetricsSettings(_Group):
    """Who may read /metrics of web, and where workers serve theirs (nowhere without a port).

    With a token it must be sent as a bearer. Without one, web shows its metrics only while public_url
    is on this machine. `sources`: values of an update's `source` that are counted by name.
    """

    token: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Port | None = None
    sources: tuple[str, ...] = ("monitoring",)


class WatchSettings(_Group):
    """From when on something that stands still is called a stop, in seconds."""

    worker_s: PositiveFloat = 30
    planning_s: PositiveFloat = 60
    slice_s: PositiveFloat = 60
    unread_receipts_s: PositiveFloat = 300
    missing_receipts_s: PositiveFloat = 900
    transaction_s: PositiveFloat = 300
    queue_s: PositiveFloat = 900
    webhook_s: PositiveFloat = 3600


class CanarySettings(_Group):
    """To whom a message is sent every `every_s` seconds, to see that it arrives. No address: none there."""

    email: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+$")
    sms: str | None = Field(default=None, pattern=r"^\+[1-9][0-9]{6,14}$")
    every_s: PositiveFloat = 60

    @property
    def addresses(self) -> dict[ChannelKind, str]:
        """Of the channels that have one."""
        given = {ChannelKind.EMAIL: self.email, ChannelKind.SMS: self.sms}
        return {kind: address for kind, address in given.items() if address is not None}


class ApiSettings(_Group):
    """How often the API may be called in `window_s` seconds; each web process counts for itself.

    `calls` and `updates` are of one key, `calls_by_address` and `sign_ins` of one client address where no
    key is needed, `refused_by_address` how many keys that are not good it may show, `events_by_source` what
    one source may send. `proxies`: how many in front of us add to
    X-Forwarded-For; none: it is not believed.
    """

    window_s: PositiveInt = 60
    calls: PositiveInt = 3000
    updates: PositiveInt = 6000
    calls_by_address: PositiveInt = 600
    refused_by_address: PositiveInt = 300
    sign_ins: PositiveInt = 30
    events_by_source: PositiveInt = 1200
    proxies: NonNegativeInt = 0


class SenderSettings(_Group):
    """Who we are on channels that need an identity; e-mail's stands in the brand."""

    sms: str = Field(default="+15005550006", pattern=r"^(\+[1-9][0-9]{6,14}|MG[0-9a-f]{32})$")
    social: str = Field(default="@acme_status", pattern=r"^@[A-Za-z0-9_]{1,15}$")


class WebhookSettings(_Group):
    """Where webhooks may lead besides public addresses, and how long a receiver may take, in seconds.

    `allow_networks`: private networks with receivers of ours, such as 10.1.0.0/16. `http_hosts`: hosts
    that are called without TLS, for tests and labs.
    """

    allow_networks: tuple[IPvAnyNetwork, ...] = ()
    http_hosts: tuple[str, ...] = ()
    timeout_s: PositiveFloat = 15


class SelfTestSettings(_Group):
    """Switches for tests that kill this program; off in operation.

    `at` arms failpoints, `{"send.after_intent": "kill"}`. `wall_errors` makes this process believe in a
    wrong wall clock: `[[0, 3600], [2, -3600]]` is an hour ahead and, two seconds later, an hour behind.
    Both are refused without `failpoints`.
    """

    failpoints: bool = False
    at: dict[str, str] = {}
    wall_errors: tuple[tuple[float, float], ...] = ()

    @model_validator(mode="after")
    def _needs_the_switch(self) -> Self:
        if (self.at or self.wall_errors) and not self.failpoints:
            raise ValueError("failpoints must be true before anything can be armed")
        return self


class Settings(BaseSettings):
    """Everything an operator may set. Secrets are `SecretStr`: no repr shows them."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_prefix="TIDINGS_",
        env_nested_delimiter="__",
    )

    database: DatabaseSettings = DatabaseSettings()
    embedded: EmbeddedSettings = Field(default_factory=EmbeddedSettings)
    secret: SecretStr | None = None
    public_url: str = "http://127.0.0.1:8080"
    web: WebSettings = WebSettings()
    api: ApiSettings = ApiSettings()
    banner: BannerSettings = BannerSettings()
    status: StatusSettings = StatusSettings()
    brand: Brand = Brand()
    sendgrid: SendGridSettings = SendGridSettings()
    twilio: TwilioSettings = TwilioSettings()
    x: XSettings = XSettings()
    senders: SenderSettings = SenderSettings()
    policy_file: Path | None = None
    segment_rules_file: Path | None = None
    worker: WorkerSettings = WorkerSettings()
    metrics: MetricsSettings = MetricsSettings()
    watch: WatchSettings = WatchSettings()
    canary: CanarySettings = CanarySettings()
    preview: PreviewSettings = PreviewSettings()
    sms_prices: SmsPrices = SmsPrices()
    oidc: OidcSettings = OidcSettings()
    webhooks: WebhookSettings = WebhookSettings()
    test: SelfTestSettings = SelfTestSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - same
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller passes: a constructor that reads the environment surprises."""
        return (init_settings,)

    @property
    def channels(self) -> ChannelSettings:
        """The providers' groups, as the channels take them."""
        return ChannelSettings(sendgrid=self.sendgrid, twilio=self.twilio, x=self.x)

    def sender(self, kind: ChannelKind) -> str:
        """From whom a channel's messages come: mail address with name, number, handle."""
        match kind:
            case ChannelKind.EMAIL:
                return f"{self.brand.from_name} <{self.brand.from_email}>"
            case ChannelKind.SMS:
                return self.senders.sms
            case ChannelKind.SOCIAL:
                return self.senders.social
            case ChannelKind.BANNER:
                return ""
            case _:
                assert_never(kind)

    @field_validator("public_url")
    @classmethod
    def _is_a_web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError("must be an http:// or https:// address")
        if parts.query or parts.fragment or parts.username:
            raise ValueError("must be a plain address without user, query or fragment")
        return value.rstrip("/")

    @field_validator("secret")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _SECRET_MIN_LENGTH:
            raise ValueError(
                f"must have at least {_SECRET_MIN_LENGTH} characters (try: openssl rand -hex 32)"
            )
        return value

    @model_validator(mode="after")
    def _shared_database_needs_shared_secret(self) -> "Settings":
        if self.database.url is not None and self.secret is None:
            raise ValueError(
                "secret is missing: with database.url set, every process must sign with the same "
                "secret; set TIDINGS_SECRET or TIDINGS_SECRET_FILE (try: openssl rand -hex 32)"
            )
        return self
