"""Settings come from four places in a known order, and a mistake becomes a sentence."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from dispatcher.config import (
    DatabaseSettings,
    Settings,
    SettingsError,
    WorkerSettings,
    environment_names,
    load_settings,
    signing_secret,
)

SECRET = "0123456789abcdef0123456789abcdef"


def refusal(environ: dict[str, str], config_file: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ, config_file=config_file)
    return str(caught.value)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "my.toml"
    path.write_text('public_url = "https://toml.example.com/"\n[web]\nport = 1\nhost = "0.0.0.0"\n')
    return path


def test_a_flag_beats_the_environment_beats_a_secret_file_beats_the_toml(
    tmp_path: Path, toml: Path
) -> None:
    (tmp_path / "port").write_text("2\n")
    from_file = {"TIDINGS_WEB__PORT_FILE": str(tmp_path / "port")}
    from_environment = {**from_file, "TIDINGS_WEB__PORT": "3"}

    def port(environ: dict[str, str], flags: dict[str, object] | None = None) -> int:
        return load_settings(flags, environ=environ, config_file=toml).web.port

    assert port({}) == 1
    assert port(from_file) == 2
    assert port(from_environment) == 3
    assert port(from_environment, {"web": {"port": 4}}) == 4


def test_places_are_merged_key_by_key(toml: Path) -> None:
    settings = load_settings(environ={"TIDINGS_WEB__PORT": "9"}, config_file=toml)
    assert (settings.web.host, settings.web.port) == ("0.0.0.0", 9)  # noqa: S104 - only compared
    assert settings.public_url == "https://toml.example.com"


def test_the_toml_file_may_be_named_in_the_environment(toml: Path) -> None:
    assert load_settings(environ={"TIDINGS_CONFIG": str(toml)}).web.port == 1


def test_a_setting_whose_name_ends_in_file_is_not_read_as_a_secret_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    assert load_settings(environ={"TIDINGS_POLICY_FILE": str(path)}).policy_file == path


def test_an_empty_variable_counts_as_unset() -> None:
    assert load_settings(environ={"TIDINGS_WEB__PORT": ""}).web.port == 8080


def test_a_constructed_settings_object_reads_nothing_from_outside() -> None:
    assert Settings() == load_settings(environ={}, config_file=Path("/dev/null"))


def test_every_setting_can_be_reached_from_the_environment() -> None:
    names = environment_names()
    assert names["TIDINGS_SECRET"] == ("secret",)
    assert names["TIDINGS_BRAND__CONTACT__SMB"] == ("brand", "contact", "smb")
    assert names["TIDINGS_TWILIO__AUTH_TOKEN"] == ("twilio", "auth_token")


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"TIDINGS_WBE__PORT": "1"},
            "TIDINGS_WBE__PORT: there is no such setting; did you mean TIDINGS_WEB__PORT?",
        ),
        (
            {"TIDINGS_WEB__PORT": "high"},
            (
                "TIDINGS_WEB__PORT (environment): Input should be a valid integer, "
                "unable to parse string as an integer"
            ),
        ),
        (
            {"TIDINGS_EMBEDDED__VERSION": "15"},
            "TIDINGS_EMBEDDED__VERSION (environment): Input should be 16 or 18",
        ),
        (
            {"TIDINGS_SECRET": "short"},
            (
                "TIDINGS_SECRET (environment): must have at least 32 characters "
                "(try: openssl rand -hex 32)"
            ),
        ),
        (
            {"TIDINGS_PUBLIC_URL": "status.example.com"},
            "TIDINGS_PUBLIC_URL (environment): must be an http:// or https:// address",
        ),
        (
            {"TIDINGS_SECRET_FILE": "/no/such/file"},
            "TIDINGS_SECRET_FILE: cannot read /no/such/file: No such file or directory",
        ),
        (
            {"TIDINGS_BRAND__CONTACT__SMB": '["fine", 7]'},
            "TIDINGS_BRAND__CONTACT__SMB (environment): Input should be a valid string",
        ),
    ],
)
def test_a_mistake_names_the_key_and_what_is_expected(
    environ: dict[str, str], sentence: str
) -> None:
    assert refusal(environ) == sentence


def test_an_unknown_key_in_the_toml_file_is_named_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[web]\nprot = 1\n")
    told = refusal({}, path)
    assert told == f"web.prot ({path}): there is no such setting; remove it or check its spelling."


def test_a_broken_or_missing_toml_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    assert refusal({}, path) == f"{path}: cannot be read: No such file or directory"
    path.write_text("[web\n")
    assert refusal({}, path).startswith(f"{path}: is not valid TOML: ")


def test_several_mistakes_are_told_at_once() -> None:
    told = refusal({"TIDINGS_WEB__PORT": "x", "TIDINGS_WORKER__LEASE_S": "-1"})
    assert len(told.splitlines()) == 2


def test_a_shared_database_needs_a_shared_secret() -> None:
    told = refusal({"TIDINGS_DATABASE__URL": "postgresql://joe:hunter2@db/shop"})
    assert "set TIDINGS_SECRET or TIDINGS_SECRET_FILE" in told
    assert "hunter2" not in told


def test_no_secret_shows_in_a_repr_or_an_error() -> None:
    url = "postgresql://joe:hunter2@db/shop"
    settings = Settings(database=DatabaseSettings(url=SecretStr(url)), secret=SecretStr(SECRET))
    assert "hunter2" not in repr(settings)
    assert SECRET not in repr(settings)
    told = refusal({"TIDINGS_SECRET": "hunter2", "TIDINGS_SENDGRID__WEBHOOK_PUBLIC_KEY": "hunter2"})
    assert "hunter2" not in told


def test_a_given_secret_signs(tmp_path: Path) -> None:
    assert signing_secret(Settings(secret=SecretStr(SECRET)), tmp_path) == SECRET
    assert list(tmp_path.iterdir()) == []


def test_without_one_the_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as eight:
        made = set(eight.map(lambda _: signing_secret(Settings(), tmp_path), range(8)))
    assert len(made) == 1
    assert len(made.pop()) >= 32
    (only,) = tmp_path.iterdir()
    assert stat.S_IMODE(only.stat().st_mode) == 0o600


def test_a_lease_must_outlive_a_missed_heartbeat() -> None:
    with pytest.raises(ValidationError, match="lease_s must be at least twice heartbeat_s"):
        WorkerSettings(heartbeat_s=10, lease_s=15)


def test_what_a_dead_worker_holds_moves_within_half_a_minute() -> None:
    rhythm = WorkerSettings()
    assert rhythm.lease_s + rhythm.sweep_every_s <= 30
