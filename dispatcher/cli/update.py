"""Send an update from a file."""

import hashlib
from typing import Annotated, Final, Literal

import typer

from dispatcher.cli.base import COMMAND_LINE, Exit, Failure, Json, number_of, print_json, within
from dispatcher.cli.document import read_model
from dispatcher.cli.looking import print_preview
from dispatcher.cli.plain import say
from dispatcher.cli.watch import watch
from dispatcher.context import Context
from dispatcher.stages.accept import UpdateIn
from dispatcher.web import idempotency
from dispatcher.web.idempotency import Attempt
from dispatcher.web.ids import DISPATCH
from dispatcher.web.models import UpdateAccepted
from dispatcher.web.preview import preview
from dispatcher.web.updates import accept_once

EXAMPLE: Final = """\
source: monitoring
incident:
  external_id: INC-42
  severity: P1                # P0, P1, P2, P3 or planned
  visibility: public          # public, customers, accounts or internal
  component_ids:
    - checkout
status: investigating
facts:
  title: Some customers cannot check out
  impact: About one in five card payments fails at checkout. Orders are saved.
  what_we_do: We are moving payments to our second provider.
  next_update_by: 2099-01-01T12:00:00Z
"""
_HELP: Final = f"""\
Send an update: the body of POST /v1/updates, as YAML or JSON. Sending it twice sends it once.

Whether it is YAML or JSON is seen from what stands there. In YAML, `no`, 22:00 and dates are text.
What a later update of the same incident leaves out stays as it was. A complete first one:

\b
{EXAMPLE}
tidings send update.yaml --dry-run     who would be told, and in which words
tidings send update.yaml --wait        send it, and show how it leaves
make-update | tidings send - --json    from another program"""
# The command line needs no key to get in, but what it has sent is remembered under one, like all else.
COMMAND_LINE_KEY_SQL = """
insert into api_key (id, secret_hash, name, scopes, created_at, revoked_at)
values ($1, '', 'the command line', '{}', $2, $2) on conflict (id) do nothing
"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("send", help=_HELP)(send)


def send(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="YAML or JSON; - reads standard input.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show audience and words; send nothing.")
    ] = False,
    mode: Annotated[
        Literal["auto", "draft", "dry_run"] | None,
        typer.Option(help="Instead of the file's own; draft: keep it until somebody submits it."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show progress until everything has left.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Same key, same update.", show_default="from the content"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send an update: the body of POST /v1/updates, as YAML or JSON. Sending it twice sends it once."""
    if dry_run and mode not in {None, "dry_run"}:
        raise Failure(Exit.USAGE, f"--dry-run and --mode {mode} contradict each other.")
    body = read_model(file, UpdateIn, mode="dry_run" if dry_run else mode)
    if body.mode == "dry_run":
        print_preview(within(ctx, lambda built: preview(built, body)), as_json=as_json)
        return

    async def work(built: Context) -> tuple[UpdateAccepted, bool, bool]:
        found, replayed = await post(built, body, idempotency_key)
        if not wait or found.dispatch_id is None:
            return found, replayed, True
        number = number_of(built.signer, DISPATCH, found.dispatch_id, "dispatch")
        return found, replayed, await watch(built, number, silent=as_json)

    view, replayed, worded = within(ctx, work)
    _print_accepted(view, replayed=replayed, as_json=as_json)
    if not worded:
        raise Failure(
            Exit.DIFFERS, f"It could not be worded; see: tidings updates show {view.update_id}"
        )


def _print_accepted(view: UpdateAccepted, *, replayed: bool, as_json: bool) -> None:
    if as_json:
        print_json(view.model_dump(mode="json"))
        return
    if replayed:
        say("Already sent: this is what was answered then.")
    if view.dispatch_id is None:
        missing = f"missing: {', '.join(view.missing)}" if view.missing else "complete"
        say(f"Kept as a draft, {missing}. Look: tidings drafts show {view.update_id}")
        return
    say(f"Accepted as {view.update_id}. Follow it: tidings watch {view.dispatch_id}")


async def post(built: Context, body: UpdateIn, key: str | None) -> tuple[UpdateAccepted, bool]:
    """Accept one update on the path the API takes; True when the answer is a stored one."""
    content = idempotency.fingerprint(body.model_dump(mode="json", exclude_unset=True))
    chosen = (
        idempotency.read_key(key) if key else f"file-{hashlib.sha256(content).hexdigest()[:32]}"
    )
    attempt = Attempt(COMMAND_LINE, COMMAND_LINE, chosen, content)

    await built.pool.execute(COMMAND_LINE_KEY_SQL, COMMAND_LINE, built.now())
    answered, replayed = await accept_once(built, body, attempt, actor=COMMAND_LINE)
    return UpdateAccepted.model_validate(answered.response), replayed
