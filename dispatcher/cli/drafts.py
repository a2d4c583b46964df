"""Drafts: what waits for a decision, and the decisions."""

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
import typer

from dispatcher.cli.asking import answer_to
from dispatcher.cli.base import COMMAND_LINE, Exit, Failure, Json, print_json, within
from dispatcher.cli.document import read_document
from dispatcher.cli.editor import by_editor
from dispatcher.cli.listing import Cursor, Limit, print_fields, print_model, print_rows, when
from dispatcher.cli.looking import print_preview, summed_up
from dispatcher.cli.plain import plain, say
from dispatcher.cli.sure import Yes, at_a_terminal, make_sure
from dispatcher.context import Context
from dispatcher.stages.accept import DraftPatch
from dispatcher.stages.accept.body import SeverityName
from dispatcher.web.drafts.actions import Decider
from dispatcher.web.drafts.models import Draft, DraftPage, DraftRevision, RevisionPage
from dispatcher.web.etags import IfMatch, etag_of
from dispatcher.web.preview import preview_draft
from dispatcher.web.preview_models import Preview
from dispatcher.web.reading import as_body

app = typer.Typer(
    help="What waits for somebody to write, send or discard it.", no_args_is_help=True
)


def register(parent: typer.Typer) -> None:
    """Add the group `drafts`."""
    parent.add_typer(app, name="drafts")


Which = Annotated[str, typer.Argument(metavar="DRAFT", help="Its id, upd_…")]
Version = Annotated[
    str | None,
    typer.Option(
        "--version",
        metavar="TAG",
        help="Only if it is still what you looked at: the version that show and preview print.",
    ),
]


@app.command("list")
def list_drafts(
    ctx: typer.Context,
    incident: Annotated[
        str | None, typer.Option(metavar="INCIDENT", help="Only of this one, inc_…")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only what this source knows of.")] = None,
    severity: Annotated[SeverityName | None, typer.Option(help="Only drafts that say so.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """All drafts, newest first, with what is missing before each can leave."""
    query = {
        "incident": incident,
        "source": source,
        "severity": severity,
        "limit": limit,
        "cursor": cursor,
    }
    found = answer_to(ctx, DraftPage, "list_drafts", query=query)
    if as_json:
        print_model(found)
        return
    rows = [
        (
            row.id,
            row.external_id,
            row.severity,
            row.proposes,
            "overtaken" if row.overtaken else ", ".join(row.missing) or "nothing",
            when(row.changed_at or row.at),
        )
        for row in found.data
    ]
    print_rows(
        ("id", "incident", "", "proposes", "missing", "changed (UTC)"),
        rows,
        none="No draft waits for anybody.",
        cursor=found.next_cursor,
    )


@app.command("show")
def show(ctx: typer.Context, draft: Which, as_json: Json = False) -> None:
    """One draft: all it says, what is missing, and who changed what."""
    path = {"update_id": draft}
    found = answer_to(ctx, Draft, "get_draft", path=path)
    if as_json:
        _print_draft(found, as_json=True)
        return
    _print_draft(found, as_json=False)
    changes = answer_to(ctx, RevisionPage, "list_draft_revisions", path=path)
    for change in reversed(changes.data):
        say(_told(change))


@app.command("edit")
def edit(
    ctx: typer.Context,
    draft: Which,
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="What changes, YAML or JSON; - is standard input."),
    ] = None,
    *,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help='facts.impact="…", severity=P1; JSON where it is no text, null removes a fact.',
        ),
    ] = None,
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Change what is given, or what you change in your $EDITOR. What stood there before is kept."""
    if file is None and not given and at_a_terminal():
        _edit_by_hand(ctx, draft, version, as_json=as_json)
        return
    patch = as_body(_patch(file, given or []), DraftPatch)
    made = within(ctx, lambda built: _decider(built, draft, version).edit(patch))
    _print_draft(made, as_json=as_json)


def _edit_by_hand(ctx: typer.Context, draft: str, version: str | None, *, as_json: bool) -> None:
    found = answer_to(ctx, Draft, "get_draft", path={"update_id": draft})
    seen = version or etag_of(found)

    def apply(changed: dict[str, Any]) -> Draft:
        patch = as_body(changed, DraftPatch)
        return within(ctx, lambda built: _decider(built, draft, seen).edit(patch))

    everything = found.model_dump(mode="json")
    shown = {name: everything[name] for name in DraftPatch.model_fields}
    made = by_editor(shown, above=_above(found), name=draft, apply=apply)
    if made is None:
        say("Nothing was changed.", err=True)
    _print_draft(made or found, as_json=as_json)


def _above(found: Draft) -> str:
    lines = (
        f"{found.id}, of {found.external_id}. Save it and leave the editor: what you changed is changed.",
        "A line that you take out stays as it was; null removes a fact.",
        f"Missing before it can leave: {', '.join(found.missing) or 'nothing'}.",
    )
    return "".join(f"# {plain(line)}\n".replace("\r", " ") for line in lines) + "\n"


@app.command("preview")
def look_ahead(ctx: typer.Context, draft: Which, as_json: Json = False) -> None:
    """What would leave: every wording, how many people, and what the texts cost."""
    found = within(ctx, lambda built: preview_draft(built, draft))
    print_preview(found, as_json=as_json)
    if not as_json:
        say(f"\nversion: {found.version}")


@app.command("submit")
def submit(
    ctx: typer.Context,
    draft: Which,
    *,
    yes: Yes = False,
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Send it, after showing to how many and for how much. Asked twice, it is sent once."""
    seen = version

    def what() -> str:
        nonlocal seen
        found = within(ctx, lambda built: preview_draft(built, draft))
        seen = seen or found.version
        return _what_leaves(found)

    make_sure(what, yes=yes)
    view, before = within(ctx, lambda built: _decider(built, draft, seen).submit())
    if as_json:
        print_model(view)
        return
    said = "It was sent before" if before else "On its way"
    say(f"{said}. Follow it: tidings watch {view.dispatch_id}")


@app.command("discard")
def discard(
    ctx: typer.Context,
    draft: Which,
    *,
    why: Annotated[str, typer.Option(help="For whoever looks at it later.")] = "",
    yes: Yes = False,
    version: Version = None,
    as_json: Json = False,
) -> None:
    """It shall not leave. Alerts of the same incident do not open it again."""
    what = f"{draft} shall not leave, ever; alerts of the same incident do not open it again."
    make_sure(lambda: what, yes=yes)
    gone = within(ctx, lambda built: _decider(built, draft, version).discard(why))
    if as_json:
        print_model(gone)
        return
    say(f"Discarded {gone.update_id}: {gone.state_detail}.")


def _decider(built: Context, draft: str, version: str | None) -> Decider:
    """Who names no version means whatever it is now."""
    match = IfMatch("*" if version is None else f'"{version.strip(chr(34))}"')
    return Decider(ctx=built, public=draft, match=match, actor=COMMAND_LINE)


def _what_leaves(found: Preview) -> str:
    """What submitting means; what cannot leave is not asked for. Raises Failure."""
    wrong = [item.detail for item in found.findings if item.level == "error"]
    wrong += [f"{item.channel}: {item.detail}" for item in found.lint if item.level == "error"]
    if wrong:
        raise Failure(Exit.USAGE, "It cannot leave.", *(f"  {detail}" for detail in wrong))
    for item in found.findings:
        say(f"{item.level}: {item.detail}", err=True)
    counted = summed_up(found.totals) if found.totals else "how many, nobody could count in time."
    return f"It is sent: {counted}"


def _patch(file: str | None, given: Sequence[str]) -> dict[str, Any]:
    """What `--set` says stands above the file. Raises Failure."""
    patch = read_document(file) if file is not None else {}
    if not isinstance(patch, dict) or not (file or given):
        names = ", ".join(DraftPatch.model_fields)
        raise Failure(Exit.USAGE, f"Say what changes, in a file or by --set; there are {names}.")
    for item in given:
        name, separator, text = item.partition("=")
        outer, _, inner = name.partition(".")
        if not separator or (inner and outer != "facts") or "." in inner:
            raise Failure(
                Exit.USAGE,
                f"--set {item!r} is not NAME=VALUE, as in --set facts.impact=… or --set severity=P1; "
                "a fact is replaced whole.",
            )
        if inner:
            patch["facts"] = {**(patch.get("facts") or {}), inner: _value(text)}
        else:
            patch[outer] = _value(text)
    return patch


def _value(text: str) -> Any:
    """JSON where it is JSON but no number: a title may be one."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text if is_number else value


def _print_draft(found: Draft, *, as_json: bool) -> None:
    shown = found.model_dump(mode="json")
    version = etag_of(found).strip('"')
    if as_json:
        print_json({"version": version, **shown})
        return
    facts = {f"facts.{name}": value for name, value in found.facts.items()}
    apart = {"facts", "links", "note", "id", "title"}
    print_fields({"id": found.id, **found.model_dump(exclude=apart), **facts, "version": version})
    if found.note:
        say(f"\n{found.note}\n")


def _told(change: DraftRevision) -> str:
    fields = f": {', '.join(change.fields)}" if change.fields else ""
    return f"{when(change.at)}  {change.action} by {change.made_by}{fields}"
