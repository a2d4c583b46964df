"""The settings as this installation has them, and whether they can be used."""

from typing import Annotated, Any, Final

import orjson
import typer
from pydantic import BaseModel, SecretStr

from dispatcher.cli.base import Exit, Failure, Json, print_json, settings_of
from dispatcher.cli.doctor import files
from dispatcher.cli.finding import Mark
from dispatcher.cli.flags import Flags
from dispatcher.cli.listing import print_rows
from dispatcher.cli.plain import say
from dispatcher.config import SettingsError, origins
from dispatcher.db import describe

app = typer.Typer(
    help="Settings: whether they can be used, and where each comes from.", no_args_is_help=True
)

DEFAULT: Final = "default"
MASK: Final = "••••••••"
_DATABASES: Final = frozenset({"database.url", "database.direct_url"})


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="config")


@app.command("check")
def check(ctx: typer.Context, as_json: Json = False) -> None:
    """Read settings, policy, segment rules and words as a start would. Exit code 1 if one cannot be used."""
    try:
        found = list(files(settings_of(ctx)))
    except SettingsError as error:
        problems = str(error).splitlines()
    else:
        problems = [f"{item.what}: {item.detail}" for item in found if item.mark is Mark.WRONG]
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    if problems:
        raise Failure(Exit.DIFFERS, *problems)
    if not as_json:
        say("Everything can be used: settings, policy, segment rules, words.")


@app.command("show")
def show(
    ctx: typer.Context,
    origin: Annotated[
        bool, typer.Option("--origin", help="Also where each value comes from.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also settings that nobody has changed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What is set, secrets masked. Every setting has its name in the environment: TIDINGS_WEB__PORT."""
    flags: Flags = ctx.obj
    settings = settings_of(ctx)
    came_from = origins(flags.settings, config_file=flags.config)
    rows = [
        {"key": ".".join(path), "value": _shown(settings, path), "origin": where}
        for path, where in came_from.items()
        if every or as_json or where != DEFAULT
    ]
    if as_json:
        print_json(rows)
        return
    print_rows(
        ("setting", "value", "from") if origin else ("setting", "value"),
        [(row["key"], _words(row["value"]), *((row["origin"],) if origin else ())) for row in rows],
        none="Nothing is set: all is as it comes. --all shows it.",
    )


def _shown(settings: BaseModel, path: tuple[str, ...]) -> Any:
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    if isinstance(value, SecretStr):
        return describe(value.get_secret_value()) if ".".join(path) in _DATABASES else MASK
    holder: Any = settings
    for name in path[:-1]:
        holder = getattr(holder, name)
    return holder.model_dump(mode="json", include={path[-1]})[path[-1]]


def _words(value: object) -> str:
    """As in a settings file, but for what is not set."""
    if value is None:
        return "(not set)"
    return value if isinstance(value, str) else orjson.dumps(value).decode()
