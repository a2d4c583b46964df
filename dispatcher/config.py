"""Settings: flag > environment > secret file > tidings.toml, and every unknown key is an error.

`Settings(...)` reads nothing by itself; `load_settings` looks at the four places, once.
"""

import difflib
import os
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from templates.brand import Brand

PREFIX: Final = "TIDINGS_"
CONFIG_FILE: Final = Path("tidings.toml")
# Read by the test suite and the entry point, not settings of the program.
_NOT_SETTINGS: Final = frozenset({"TIDINGS_CONFIG", "TIDINGS_TEST_PG", "TIDINGS_CONTRACT_SPECS"})
_SECRET_MIN_LENGTH: Final = 32

Port = Annotated[int, Field(ge=0, le=65535)]


class SettingsError(Exception):
    """The settings cannot be used; the text has one sentence per problem, naming the key."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(_Group):
    """Where PostgreSQL is; without a url the embedded one starts. Times in seconds."""

    url: SecretStr | None = None
    pool_min: PositiveInt = 2
    pool_max: PositiveInt = 10
    statement_timeout_s: PositiveFloat = 30
    connect_timeout_s: PositiveFloat = 10


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


class WorkerSettings(_Group):
    """Rhythm of a worker process, in seconds."""

    heartbeat_s: PositiveFloat = 10
    lease_s: PositiveFloat = 30
    dequeue_timeout_s: PositiveFloat = 1
    reconcile_window_s: PositiveFloat = 120
    sweep_every_s: PositiveFloat = 3
    drain_s: PositiveFloat = 25


class SelfTestSettings(_Group):
    """Switches for tests that kill this program; off in operation."""

    failpoints: bool = False


class Settings(BaseSettings):
    """Everything an operator may set. Secrets are `SecretStr`: no repr shows them."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__"
    )

    database: DatabaseSettings = DatabaseSettings()
    embedded: EmbeddedSettings = Field(default_factory=EmbeddedSettings)
    secret: SecretStr | None = None
    public_url: str = "http://127.0.0.1:8080"
    web: WebSettings = WebSettings()
    brand: Brand = Brand()
    policy_file: Path | None = None
    worker: WorkerSettings = WorkerSettings()
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


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    config_file: Path | None = None,
) -> Settings:
    """Settings from the four places, the first that names a key wins.

    Args:
        flags: nested like the settings, e.g. `{"web": {"port": 9000}}`.
        environ: `TIDINGS_WEB__PORT=9000`; `TIDINGS_SECRET_FILE=/run/x` reads the value from a file.
        config_file: must exist when given here or in TIDINGS_CONFIG; else ./tidings.toml if there.

    Raises:
        SettingsError: a sentence for each unknown key, wrong value or unreadable file.
    """
    _refuse_unknown(environ)
    places: list[tuple[str, dict[str, Any]]] = [
        ("flag", dict(flags or {})),
        ("environment", _from_environment(environ)),
        ("secret file", _from_environment(_secret_files(environ))),
        ("file", _from_toml(environ, config_file)),
    ]
    merged: dict[str, Any] = {}
    for _, values in reversed(places):
        merged = _merge(merged, values)
    try:
        return Settings(**merged)
    except ValidationError as error:
        # `from None`: the original text repeats values, and a value may be a secret.
        raise SettingsError(
            "\n".join(_sentence(detail, places) for detail in error.errors(include_url=False))
        ) from None


def signing_secret(settings: Settings, data_dir: Path | None = None) -> str:
    """The secret that signs ids and tokens.

    Without one in the settings it is made once, in `data_dir` (default: the embedded folder, which
    must exist), readable by its owner only. Safe when many processes start at once.
    """
    if settings.secret is not None:
        return settings.secret.get_secret_value()
    path = (data_dir or settings.embedded.dir) / "secret"
    if not path.exists():
        draft = path.with_name(f"secret.{secrets.token_hex(8)}")
        draft.touch(mode=0o600)
        try:
            draft.write_text(secrets.token_hex(32))
            # A hard link appears complete or not at all; the first one wins.
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()


def environment_names() -> dict[str, tuple[str, ...]]:
    """Every environment variable that is a setting, with the path of the setting it fills."""
    return {PREFIX + "__".join(path).upper(): path for path in _paths(Settings)}


def _paths(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from ((name, *rest) for rest in _paths(kind))
        else:
            yield (name,)


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = environment_names()
    accepted = {*known, *(f"{name}_FILE" for name in known), *_NOT_SETTINGS}
    problems = []
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        if name not in accepted:
            near = difflib.get_close_matches(name, accepted, n=1)
            hint = f"did you mean {near[0]}?" if near else "unset it."
            problems.append(f"{name}: there is no such setting; {hint}")
    if problems:
        raise SettingsError("\n".join(problems))


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings, env_ignore_empty=True)
    source.env_vars = {name.lower(): value for name, value in environ.items() if value}
    try:
        return source()
    except SourceError as error:
        raise SettingsError(f"environment: {error}; lists and tables are written as JSON") from None


def _secret_files(environ: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in environment_names():
        path = environ.get(f"{name}_FILE")
        # A name of its own that happens to end in _FILE (policy_file) is no secret file.
        if path and f"{name}_FILE" not in environment_names():
            try:
                found[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "not UTF-8 text"
                raise SettingsError(f"{name}_FILE: cannot read {path}: {why}") from None
    return found


def _from_toml(environ: Mapping[str, str], config_file: Path | None) -> dict[str, Any]:
    named = config_file or (
        Path(environ["TIDINGS_CONFIG"]) if "TIDINGS_CONFIG" in environ else None
    )
    path = named or CONFIG_FILE
    if named is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}") from None


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both_tables = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both_tables else value  # type: ignore[arg-type] # just checked
    return merged


def _sentence(detail: ErrorDetails, places: list[tuple[str, dict[str, Any]]]) -> str:
    loc = tuple(str(part) for part in detail["loc"])
    what = detail["msg"].removeprefix("Value error, ")
    if not loc:
        return what
    where = next((name for name, values in places if _holds(values, loc)), "")
    key = (
        PREFIX + "__".join(loc).upper()
        if where in {"environment", "secret file"}
        else ".".join(loc)
    )
    if detail["type"] == "extra_forbidden":
        return f"{key} ({where}): there is no such setting; remove it or check its spelling."
    return f"{key} ({where}): {what}"


def _holds(values: Mapping[str, Any], loc: tuple[str, ...]) -> bool:
    current: object = values
    for part in loc:
        if not isinstance(current, Mapping) or part not in current:
            return False
        current = current[part]
    return True
