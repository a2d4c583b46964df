"""What this installation is made of: segments, words, and the problems it names."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from dispatcher.cli.asking import answer_to
from dispatcher.cli.base import Exit, Failure, Json, print_json
from dispatcher.cli.listing import Cursor, Limit, print_model, print_rows
from dispatcher.cli.plain import say
from dispatcher.web.models import SegmentPage, TemplatePage
from dispatcher.web.problems import PROBLEMS

segments_app = typer.Typer(
    help="Kinds of customers, and what makes an account one.", no_args_is_help=True
)
templates_app = typer.Typer(help="The words of each segment and channel.", no_args_is_help=True)
problems_app = typer.Typer(
    help="What the API's refusals mean, and what to do.", no_args_is_help=True
)


def register(parent: typer.Typer) -> None:
    """Add the groups."""
    parent.add_typer(segments_app, name="segments")
    parent.add_typer(templates_app, name="templates")
    parent.add_typer(problems_app, name="problems")


@segments_app.command("list")
def list_segments(
    ctx: typer.Context, limit: Limit = 50, cursor: Cursor = None, as_json: Json = False
) -> None:
    """Segments with their sizes and rules; the first rule that fits an account decides."""
    found = answer_to(ctx, SegmentPage, "list_segments", query={"limit": limit, "cursor": cursor})
    if as_json:
        print_model(found)
        return
    rows = [
        (
            row.name,
            row.accounts,
            "always" if row.always else "",
            "\n".join(f"{rule.name}: {_words(rule.when)}" for rule in row.rules),
        )
        for row in found.data
    ]
    columns = ("segment", "accounts", "told", "by rule")
    print_rows(
        columns, rows, none="There is no segment.", cursor=found.next_cursor, right=("accounts",)
    )


_ASKS: Final[Mapping[str, str]] = {
    "equals": "is",
    "in": "is one of",
    "min": "at least",
    "max": "at most",
    "exists": "is known:",
}


def _words(when: list[dict[str, Any]]) -> str:
    if not when:
        return "whoever is left"
    return " and ".join(
        f"{item['attribute']} {_ASKS[name]} {_value(value)}"
        for item in when
        for name, value in item.items()
        if name in _ASKS
    )


def _value(value: object) -> str:
    match value:
        case list():
            return ", ".join(map(_value, value))
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


@templates_app.command("list")
def list_templates(
    ctx: typer.Context, limit: Limit = 50, cursor: Cursor = None, as_json: Json = False
) -> None:
    """Whose words each segment reads on each channel, and the file they stand in."""
    found = answer_to(ctx, TemplatePage, "list_templates", query={"limit": limit, "cursor": cursor})
    if as_json:
        print_model(found)
        return
    rows = [(row.channel, row.segment or "everybody", row.voice, row.file) for row in found.data]
    columns = ("channel", "segment", "reads the words of", "file")
    print_rows(columns, rows, none="No words.", cursor=found.next_cursor)


@problems_app.command("list")
def list_problems(as_json: Json = False) -> None:
    """All kinds of refusals."""
    if as_json:
        print_json([_problem(kind) for kind in PROBLEMS])
        return
    rows = [(kind, row.status, row.title) for kind, row in PROBLEMS.items()]
    print_rows(("kind", "status", "title"), rows, none="")


@problems_app.command("explain")
def explain(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="The last part of a problem's type.")],
    as_json: Json = False,
) -> None:
    """What a refusal means, and what to do about it."""
    name = kind.rstrip("/").rpartition("/")[2]
    if name not in PROBLEMS:
        near = difflib.get_close_matches(name, PROBLEMS, n=1)
        hint = f"did you mean {near[0]}?" if near else "see: tidings problems list"
        raise Failure(Exit.USAGE, f"There is no kind of problem {name!r}; {hint}")
    if as_json:
        print_json(_problem(name))
        return
    row = PROBLEMS[name]
    say(f"{name} ({row.status}): {row.title}\n\n{row.meaning}\n{row.remedy}")


def _problem(kind: str) -> dict[str, object]:
    row = PROBLEMS[kind]
    return {
        "kind": kind,
        "status": row.status,
        "title": row.title,
        "meaning": row.meaning,
        "remedy": row.remedy,
    }
