"""Sources: what may tell us of incidents, in its own words."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from dispatcher.cli.asking import Question, answer_to, ask
from dispatcher.cli.base import (
    COMMAND_LINE,
    Exit,
    Failure,
    Json,
    number_of,
    print_json,
    within,
)
from dispatcher.cli.document import read_document, read_text
from dispatcher.cli.listing import Cursor, Limit, print_fields, print_model, print_rows
from dispatcher.cli.plain import say
from dispatcher.cli.sure import Yes, make_sure
from dispatcher.context import Context
from dispatcher.intake import sources
from dispatcher.intake.model import Kind
from dispatcher.intake.sources import Source
from dispatcher.web.customer_models import Stored
from dispatcher.web.ids import SOURCE
from dispatcher.web.intake.models import (
    RotateIn,
    SourceIn,
    SourcePage,
    SourcePatch,
    SourceView,
    SourceWithSecret,
)
from dispatcher.web.intake.sources import (
    change_source,
    create_source,
    rotate_source,
    source_view,
)
from dispatcher.web.reading import as_model

app = typer.Typer(
    help="Systems that tell us of incidents: PagerDuty, Alertmanager and the like.",
    no_args_is_help=True,
)


def register(parent: typer.Typer) -> None:
    """Add the group `sources`."""
    parent.add_typer(app, name="sources")


SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="Its name, or its id, src_…")]
Mode = Annotated[
    Literal["draft", "auto"] | None,
    typer.Option(help="auto: what people write there goes out where it is complete."),
]
SeverityOption = Annotated[
    str | None, typer.Option("--severity", help="Where the sender names none: P0 to P3, planned.")
]
Components = Annotated[
    list[str] | None,
    typer.Option("--component", metavar="ID", help="Where no word of the sender fits. Repeatable."),
]
Words = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="WORD=ID", help="The sender's word for a component. Repeatable."),
]
Promise = Annotated[
    str | None,
    typer.Option("--next-update-within", metavar="SPAN", help="Such as 30min: promised in auto."),
]
SettingsFile = Annotated[
    str | None,
    typer.Option("--settings", metavar="FILE", help="All else, as in POST /v1/sources; YAML."),
]
SecretFile = Annotated[
    str | None,
    typer.Option("--secret-file", metavar="FILE", help="The sender's own; - is standard input."),
]


@app.command("create")
def create(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="Whose words it speaks.")],
    name: Annotated[str, typer.Argument(help="Under which its incidents are known.")],
    *,
    mode: Mode = None,
    severity: SeverityOption = None,
    component: Components = None,
    word: Words = None,
    next_update_within: Promise = None,
    settings: SettingsFile = None,
    secret_file: SecretFile = None,
    as_json: Json = False,
) -> None:
    """Make a source. A secret that is made for it is shown once; one that is given never."""
    given = _given(mode, severity, component, word, next_update_within, settings)
    given |= {"kind": kind, "name": name} | _secret(secret_file)
    body = as_model(given, SourceIn)
    made = within(ctx, lambda built: create_source(built, body, actor=COMMAND_LINE))
    _print_with_secret(made, given=bool(secret_file), as_json=as_json)


@app.command("change")
def change(
    ctx: typer.Context,
    source: SourceName,
    *,
    mode: Mode = None,
    severity: SeverityOption = None,
    component: Components = None,
    word: Words = None,
    next_update_within: Promise = None,
    settings: SettingsFile = None,
    as_json: Json = False,
) -> None:
    """Change what is given; the rest stays. Lists are replaced whole."""
    given = _given(mode, severity, component, word, next_update_within, settings)
    _change(ctx, source, given, as_json=as_json)


@app.command("list")
def show_all(
    ctx: typer.Context, limit: Limit = 50, cursor: Cursor = None, as_json: Json = False
) -> None:
    """All sources, never their secrets."""
    found = answer_to(ctx, SourcePage, "list_sources", query={"limit": limit, "cursor": cursor})
    if as_json:
        print_model(found)
        return
    rows = [
        (
            view.name,
            view.kind,
            view.mode,
            "disabled" if view.disabled else "",
            f"{view.last_event_at:%m-%d %H:%M}" if view.last_event_at else "never",
            _last_error(view),
            view.id,
        )
        for view in found.data
    ]
    columns = ("name", "kind", "mode", "", "heard", "refused", "id")
    none = "No source yet. Make one with: tidings sources create KIND NAME"
    print_rows(columns, rows, none=none, cursor=found.next_cursor)


def _last_error(view: SourceView) -> str:
    error = view.last_error
    return f"{error.count} {error.kind}" if error else ""


@app.command("show")
def show(ctx: typer.Context, source: SourceName, as_json: Json = False) -> None:
    """One source and what it may do."""

    async def work(built: Context) -> SourceView:
        return source_view(built, await named(built, source))

    view = within(ctx, work)
    if as_json:
        print_json(view.model_dump(mode="json"))
        return
    print_fields(view.model_dump())


@app.command("disable")
def disable(ctx: typer.Context, source: SourceName, as_json: Json = False) -> None:
    """Take nothing more from a source; it is told so."""
    _change(ctx, source, {"disabled": True}, as_json=as_json)


@app.command("enable")
def enable(ctx: typer.Context, source: SourceName, as_json: Json = False) -> None:
    """Take from a source again."""
    _change(ctx, source, {"disabled": False}, as_json=as_json)


@app.command("rotate")
def rotate(
    ctx: typer.Context,
    source: SourceName,
    secret_file: SecretFile = None,
    overlap_hours: Annotated[
        int, typer.Option(help="How long the old secret is good for.", min=0, max=720)
    ] = 24,
    as_json: Json = False,
) -> None:
    """A new secret, shown once unless it is given; the old one is good for a day more."""
    body = as_model({"overlap_hours": overlap_hours} | _secret(secret_file), RotateIn)

    async def work(built: Context) -> SourceWithSecret:
        public = built.signer.public_id(SOURCE, (await named(built, source)).id)
        return await rotate_source(built, public, body, actor=COMMAND_LINE)

    _print_with_secret(within(ctx, work), given=bool(secret_file), as_json=as_json)


@app.command("remove")
def remove(ctx: typer.Context, source: SourceName, yes: Yes = False, as_json: Json = False) -> None:
    """Forget a source and what came from it; its incidents stay."""

    def what() -> str:
        found = within(ctx, lambda built: named(built, source))
        return (
            f"Forget {found.name} ({found.kind}), its secrets and what came from it. What it sends is "
            "refused from then on; its incidents stay."
        )

    make_sure(what, yes=yes)

    async def work(built: Context) -> Stored:
        path = {"source_id": built.signer.public_id(SOURCE, (await named(built, source)).id)}
        return await ask(built, Stored, Question(operation="remove_source", path=path, match="*"))

    found = within(ctx, work)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        say(f"{source} is {found.result}.")


async def named(built: Context, text: str) -> Source:
    """The source of this name or id. Raises Failure."""
    async with built.pool.acquire() as conn:
        found = await sources.find_by_name(conn, text)
        if found is None and text.startswith(f"{SOURCE}_"):
            found = await sources.find(conn, number_of(built.signer, SOURCE, text, "source"))
    if found is None:
        raise Failure(Exit.USAGE, f"There is no source {text!r}; see: tidings sources list")
    return found


def _change(ctx: typer.Context, source: str, given: dict[str, Any], *, as_json: bool) -> None:
    body = as_model(given, SourcePatch)

    async def work(built: Context) -> SourceView:
        public = built.signer.public_id(SOURCE, (await named(built, source)).id)
        return await change_source(built, public, body, actor=COMMAND_LINE)

    view = within(ctx, work)
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        say(f"{view.name} is changed; see: tidings sources show {view.name}")


def _given(
    mode: str | None,
    severity: str | None,
    components: Sequence[str] | None,
    words: Sequence[str] | None,
    promise: str | None,
    settings: str | None,
) -> dict[str, Any]:
    """The body that these options stand for; those of the file are below them."""
    below = read_document(settings) if settings else {}
    if not isinstance(below, dict):
        raise Failure(Exit.USAGE, f"{settings} must hold names and values.")
    pairs = [text.rpartition("=") for text in words or []]
    if any(not word or not component for word, _, component in pairs):
        raise Failure(Exit.USAGE, "--map takes WORD=ID, such as 'Web shop=checkout'.")
    options = {
        "mode": mode,
        "severity": severity,
        "component_ids": components or None,
        "components": {word: component for word, _, component in pairs} or None,
        "next_update_within": promise,
    }
    return {**below, **{name: value for name, value in options.items() if value is not None}}


def _secret(file: str | None) -> dict[str, str]:
    """Never an option: arguments are seen by everybody on the machine."""
    return {"secret": read_text(file).strip()} if file else {}


def _print_with_secret(made: SourceWithSecret, *, given: bool, as_json: bool) -> None:
    """A secret that was given is not shown: whoever gave it has it, and terminals are looked at and kept."""
    # Of a Statuspage the address ends with the secret.
    url = made.url.removesuffix(f"/{made.secret}")
    if as_json:
        left_out = {"secret"} if given else set()
        print_json(made.model_dump(mode="json", exclude=left_out) | ({"url": url} if given else {}))
        return
    if given:
        own = url if url == made.url else f"{url}/…, where … is the secret"
        say(f"id:     {made.id}\nurl:    {own}\nThe secret that you gave is good from now on.")
        return
    say(f"id:     {made.id}\nurl:    {made.url}\nsecret: {made.secret}")
    say("Keep the secret now: it is not shown again.", err=True)
