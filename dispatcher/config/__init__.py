"""Settings: flag > environment > secret file > tidings.toml, and every unknown key is an error.

`Settings(...)` reads nothing by itself; `load_settings` looks at the four places, once.
"""

from dispatcher.config.load import SettingsError, environment_names, load_settings, origins
from dispatcher.config.model import (
    ApiSettings,
    BannerSettings,
    CanarySettings,
    DatabaseSettings,
    EmbeddedSettings,
    MetricsSettings,
    SelfTestSettings,
    SenderSettings,
    Settings,
    StatusSettings,
    WatchSettings,
    WebhookSettings,
    WebSettings,
    WorkerSettings,
)
from dispatcher.config.oidc import OidcSettings, is_safe_address
from dispatcher.config.secret import signing_secret

__all__ = [
    "ApiSettings",
    "BannerSettings",
    "CanarySettings",
    "DatabaseSettings",
    "EmbeddedSettings",
    "MetricsSettings",
    "OidcSettings",
    "SelfTestSettings",
    "SenderSettings",
    "Settings",
    "SettingsError",
    "StatusSettings",
    "WatchSettings",
    "WebSettings",
    "WebhookSettings",
    "WorkerSettings",
    "environment_names",
    "is_safe_address",
    "load_settings",
    "origins",
    "signing_secret",
]
