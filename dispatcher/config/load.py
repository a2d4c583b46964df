"""From the four places to one `Settings`, and from mistakes to sentences."""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource
from pydantic_settings.exceptions import SettingsError as SourceError

from dispatcher.config.model import Settings

PREFIX: Final = "TIDINGS_"
_FROM_ENVIRONMENT: Final = "environment"
_FROM_FILE: Final = "secret file"
CONFIG_FILE: Final = Path("tidings.toml")
# Read by the test suite and the entry point, not settings of the program.
_NOT_SETTINGS: Final = frozenset(
    {
        "TIDINGS_CONFIG",
        "TIDINGS_TEST_PG",
        "TIDINGS_CONTRACT_SPECS",
        "TIDINGS_INTAKE_SAMPLES",
        "TIDINGS_FUZZ_BODIES",
        "TIDINGS_KEY",
    }
)


class SettingsError(Exception):
    """The settings cannot be used; the text has one sentence per problem, naming the key."""


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
    places = _places(flags, environ, config_file)
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


def origins(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    config_file: Path | None = None,
) -> dict[tuple[str, ...], str]:
    """By path, where each setting of `load_settings` with the same arguments comes from, in words."""
    places = _places(flags, environ, config_file)
    return {
        path: next(
            (_origin(place, path) for place, values in places if _holds(values, path)), "default"
        )
        for path in _paths(Settings)
    }


def _origin(place: str, path: Sequence[str]) -> str:
    name = _key(_FROM_ENVIRONMENT, path)
    words = {_FROM_ENVIRONMENT: f"environment: {name}", _FROM_FILE: f"secret file: {name}_FILE"}
    return words.get(place, place)


def _places(
    flags: Mapping[str, Any] | None, environ: Mapping[str, str], config_file: Path | None
) -> list[tuple[str, dict[str, Any]]]:
    """What each of the four places says, the strongest first. Raises SettingsError."""
    _refuse_unknown(environ)
    file = config_file or (Path(environ["TIDINGS_CONFIG"]) if "TIDINGS_CONFIG" in environ else None)
    return [
        ("flag", dict(flags or {})),
        (_FROM_ENVIRONMENT, _from_environment(environ)),
        (_FROM_FILE, _from_environment(_secret_files(environ))),
        (str(file or CONFIG_FILE), _from_toml(file)),
    ]


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
    source.env_vars = {
        name.lower(): environ[name] for name in environment_names() if environ.get(name)
    }
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


def _from_toml(named: Path | None) -> dict[str, Any]:
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
    if detail["type"] == "extra_forbidden":
        what = "there is no such setting; remove it or check its spelling."
    # An entry of a list is not a key: then the key that holds the list is named.
    for length in range(len(loc), 0, -1):
        for place, values in places:
            if _holds(values, loc[:length]):
                return f"{_key(place, loc[:length])} ({place}): {what}"
    return f"{'.'.join(loc)}: {what}" if loc else what


def _key(place: str, path: Sequence[str]) -> str:
    if place in {_FROM_ENVIRONMENT, _FROM_FILE}:
        return PREFIX + "__".join(path).upper()
    return ".".join(path)


def _holds(values: Mapping[str, Any], path: Sequence[str]) -> bool:
    current: object = values
    for part in path:
        if not isinstance(current, Mapping) or part not in current:
            return False
        current = current[part]
    return True
