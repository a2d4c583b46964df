"""What customers and senders call things is shown as it is, and does nothing to the operator's terminal."""

import io
from typing import Final

import pytest
from rich.console import Console

from dispatcher.app import running
from dispatcher.cli.draw import draw_account, draw_report
from dispatcher.cli.listing import print_fields
from dispatcher.cli.plain import plain
from dispatcher.config import Settings
from dispatcher.db import Connection
from dispatcher.rules.policy import load_policy
from dispatcher.stages.report import account_deliveries, dispatch_report, roll_up
from tests.cli.conftest import Tidings
from tests.cli.test_draw import some_dispatch
from tests.cli.test_manual import LEAVES
from tests.flow.story import contact, plan_out, post, seed, update
from tests.report.rows import SIGNER, at

pytestmark = pytest.mark.timeout(120)

TITLE: Final = "[EU] Checkout [true] [/legacy] :warning:"
EVIL: Final = f"{TITLE} \x1b[2J\x9b1A\u202e\r\x07"
SHOWN: Final = f"{TITLE} ␛[2J�1A�␍␇"
PLANT_SQL: Final = """
update account set name = $1;
update contact_version set name = $1;
update component set name = $1, public_name = $1;
update incident set subject_title = $1;
update incident_update set note = $1;
update rendering set parts = jsonb_set(parts, '{text}', to_jsonb($1::text));
insert into audit (at, actor, action, object, detail)
values (now(), 'cli', $1, $1, jsonb_build_object('disabled', jsonb_build_array(true), $1::text, $1))
"""
NAMES: Final = (
    "accounts list",
    "accounts show",
    "accounts deliveries",
    "audit",
    "components list",
    "components show",
    "contacts list",
    "contacts show",
    "drafts show",
    "incidents list",
    "incidents show",
    "report",
    "updates show",
)
"""The verbs that show what somebody has called something."""


async def _planted(settings: Settings, conn: Connection) -> dict[str, str]:
    """An argument for each metavar, of an installation in which all has an evil name."""
    async with running(settings) as ctx:
        await seed(ctx, [contact(1, "acme"), contact(2, "acme")])
        facts = update(ctx).facts.model_dump(mode="json", exclude_unset=True) | {"title": TITLE}
        sent = await post(ctx, update(ctx, facts=facts))
        await plan_out(ctx, sent)
        draft = await post(
            ctx, update(ctx, mode="draft", facts=facts, incident={"external_id": "INC-7"})
        )
        person = await conn.fetchval("select external_id from contact limit 1")
        ids = {"UPDATE": sent.update_id, "DRAFT": draft.update_id}
        given = {name: ctx.signer.public_id("upd", number) for name, number in ids.items()}
    for statement in PLANT_SQL.strip().split(";\n"):
        await conn.execute(statement, EVIL)
    return given | {
        "ACCOUNT": "acme",
        "CONTACT": person,
        "COMPONENT": "checkout",
        "INCIDENT": "INC-42",
    }


async def test_every_verb_that_shows_shows_names_as_they_are_and_obeys_none(
    tidings: Tidings, settings: Settings, conn: Connection
) -> None:
    given = await _planted(settings, conn)
    wrong, walked = [], set()
    for verb, command in LEAVES.items():
        needed = [param for param in command.params if param.param_type_name == "argument"]
        words = [given.get((param.metavar or "").strip("[]")) for param in needed if param.required]
        shows = verb.endswith((" list", " show")) or verb in NAMES
        if not shows or None in words:
            continue
        walked.add(verb)
        pii = (
            ["--addresses"] if any("--addresses" in param.opts for param in command.params) else []
        )
        found = await tidings(*verb.split(), *[word for word in words if word], *pii, COLUMNS="900")
        said = found.out + found.err
        if found.code or "Traceback" in said:
            wrong.append(f"{verb} ended with {found.code}: {found.err[-300:]}")
        if set(said) & set("\x1b\x9b\u202e\r\x07"):
            wrong.append(f"{verb} lets through what moves a cursor: {said!r}")
        if verb in NAMES and TITLE not in said:
            wrong.append(f"{verb} shows another name: {said}")
    assert not wrong, "\n".join(wrong)
    assert walked > set(NAMES)


async def test_a_report_draws_names_as_they_are(conn: Connection) -> None:
    book = await some_dispatch(conn)
    for statement in PLANT_SQL.strip().split(";\n")[:5]:
        await conn.execute(statement, EVIL)
    policy = load_policy(None)
    async with conn.transaction():
        await roll_up(conn, book.dispatch, policy=policy, now=at(20))
    report = await dispatch_report(
        conn, book.dispatch, signer=SIGNER, policy=policy, now=at(30), read_pii=True
    )
    found = await account_deliveries(conn, "big", signer=SIGNER, read_pii=True)
    out = io.StringIO()
    console = Console(file=out, width=300)
    draw_report(console, report)
    assert out.getvalue().count(SHOWN) > 1
    draw_account(console, found)
    assert out.getvalue().count(SHOWN) > 3
    assert not set(out.getvalue()) & set("\x1b\x9b\u202e\r\x07")


async def test_a_refusal_moves_no_cursor_either(tidings: Tidings) -> None:
    refused = await tidings("send", "-", stdin=b'{"a\\u001b[2J[/x]": 1}')
    assert refused.code == 2
    assert "a␛[2J[~1x]" in refused.err
    assert "\x1b" not in refused.err


def test_words_keep_their_lines_and_letters() -> None:
    assert plain("Grüße,\r\n\t→ 東京 👩‍💻\n") == "Grüße,\n\t→ 東京 👩‍💻\n"


def test_a_value_of_many_lines_looks_like_no_other_field(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_fields({"title": "a\nstate: sent", "id": "x"})
    assert capsys.readouterr().out == "title: a\n       state: sent\nid:    x\n"
