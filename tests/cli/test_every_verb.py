"""Every verb of the table with everything wrong that can be: a sentence, the right code, no traceback."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from channels.settings import SendGridSettings
from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.db import Connection
from tests.cli.conftest import Result, Tidings
from tests.cli.test_manual import LEAVES
from tests.flow.story import contact, plan_out, post, seed, update

pytestmark = pytest.mark.timeout(180)

FOREVER = {"serve", "worker", "up", "sandbox", "demo"}
WITHOUT_DATABASE = {"config check", "config show", "problems list", "problems explain", "doctor"}
# What is unknown is no mistake to them: they make it, or say what they found.
MAKES = {
    "banner-token",
    "keys create",
    "sources create",
    "users create",
    "suppressions add",
    "suppressions remove",
    "channels pause",
    "channels resume",
}
NOWHERE = "postgresql://nobody:hunter2@127.0.0.1:1/none"
GIVEN = {
    "CHANNEL": "email",
    "KIND": "pagerduty",
    "ROLE": "viewer",
    "ADDRESS": "ann@example.com",
    "EMAIL": "ann@example.com",
}
# Where there is no terminal, these need --yes; they cannot be taken back.
ASKED = [verb for verb, leaf in LEAVES.items() if any("--yes" in p.opts for p in leaf.params)]
NEEDED = {
    "verify": ("--ledger", "http://127.0.0.1:1"),
    "drafts edit": ("--set", "note=x"),
    "channels pause": ("--reason", "x"),
    "users create": ("--role", "viewer"),
    **dict.fromkeys(ASKED, ("--yes",)),
}


def arguments(verb: str) -> list[str]:
    """The verb with nonsense for whatever it must be told."""
    nonsense = f"no-{verb.replace(' ', '-')}"
    needed = [
        GIVEN.get((param.metavar or param.name).upper(), nonsense)
        for param in LEAVES[verb].params
        if param.param_type_name == "argument" and param.required
    ]
    as_json = any("--json" in param.opts for param in LEAVES[verb].params)
    return [*verb.split(), *needed, *NEEDED.get(verb, ()), *(["--json"] if as_json else [])]


def verbs() -> Iterator[str]:
    return (verb for verb in LEAVES if verb not in FOREVER)


def faults(verb: str, result: Result, *codes: int) -> Iterator[str]:
    """What is wrong with how it ended."""
    if result.code not in codes:
        yield f"{verb} ended with {result.code}: {result.err}"
    if "Traceback" in result.err or (result.code and not result.err.strip()):
        yield f"{verb} said: {result.err}"
    if result.code == 0 or result.out:
        try:
            orjson.loads(result.out or "null")
        except orjson.JSONDecodeError:
            yield f"{verb} printed: {result.out}"
    if "hunter2" in result.err + result.out:
        yield f"{verb} told the password"


async def test_what_must_be_told_and_is_not_is_named(tidings: Tidings) -> None:
    wrong: list[str] = []
    for verb, command in LEAVES.items():
        needed = [param for param in command.params if param.required]
        if needed:
            result = await tidings(*verb.split())
            wrong += faults(verb, result, 2)
            if "Missing" not in result.err:
                wrong.append(f"{verb} does not name what is missing: {result.err}")
    assert not wrong, "\n".join(wrong)


async def test_ids_of_nothing_are_refused_by_every_verb(tidings: Tidings) -> None:
    wrong: list[str] = []
    for verb in verbs():
        needs = any(
            param.param_type_name == "argument" and param.required for param in LEAVES[verb].params
        )
        codes = (2,) if needs and verb not in MAKES else (0, 2) if verb in MAKES else (0, 3)
        wrong += faults(verb, await tidings(*arguments(verb)), *codes)
    assert not wrong, "\n".join(wrong)


async def test_a_database_that_is_away_is_told_by_every_verb_that_needs_it(
    tidings: Tidings,
) -> None:
    wrong: list[str] = []
    for verb in verbs():
        if verb in WITHOUT_DATABASE:
            continue
        # What cannot be read is refused before anybody asks the database.
        reads = any(param.metavar == "FILE" and param.required for param in LEAVES[verb].params)
        codes = (2, 3) if reads else (3,)
        result = await tidings(*arguments(verb), TIDINGS_DATABASE__URL=NOWHERE)
        wrong += faults(verb, result, *codes)
        if result.code == 3 and "127.0.0.1:1" not in result.err:
            wrong.append(f"{verb} does not say where: {result.err}")
    assert not wrong, "\n".join(wrong)


async def test_without_its_schema_a_database_is_of_no_use(
    tidings: Tidings, conn: Connection
) -> None:
    await conn.execute("drop schema public cascade; create schema public")
    for verb in ("incidents list", "report", "accounts list", "audit"):
        result = await tidings(*verb.split(), "--json")
        assert list(faults(verb, result, 3)) == []
        assert "tidings migrate" in result.err


async def test_what_cannot_be_taken_back_is_not_done_where_nobody_can_be_asked(
    tidings: Tidings,
) -> None:
    assert set(ASKED) == {
        "contacts erase",
        "dispatches cancel",
        "drafts discard",
        "drafts submit",
        "keys revoke",
        "sources remove",
        "webhooks remove",
    }
    for verb in ASKED:
        words = [word for word in arguments(verb) if word != "--yes"]
        refused = await tidings(*words, TIDINGS_DATABASE__URL=NOWHERE)
        assert (refused.code, "add --yes" in refused.err) == (2, True), verb


async def test_what_cannot_be_taken_back_is_told_and_asked_at_a_terminal(
    tidings: Tidings, settings: Settings
) -> None:
    mail = SendGridSettings(api_key=SecretStr("x"))
    async with running(settings.model_copy(update={"sendgrid": mail})) as ctx:
        await seed(ctx, [contact(n, "small") for n in range(2)])
        accepted = await post(ctx, update(ctx))
        await plan_out(ctx, accepted)
        dispatch = ctx.signer.public_id("dsp", accepted.dispatch_id or 0)
    made: Any = [
        (await tidings("keys", "create", "ci", "--json")).json,
        (await tidings("webhooks", "create", "https://example.com/", "--json")).json,
    ]
    await tidings("sources", "create", "alertmanager", "alerts")
    for words, told in {
        ("dispatches", "cancel", dispatch): "of INC-42: 2 messages.",
        ("keys", "revoke", made[0]["id"]): "ends at once",
        ("webhooks", "remove", made[1]["id"]): "Forget https://example.com/",
        ("sources", "remove", "alerts"): "Forget alerts (alertmanager)",
        ("contacts", "erase", "c1"): "Forget c1 for good",
    }.items():
        for typed in ("n\n", ""):
            hesitating = await tidings(*words, typed=typed)
            assert (hesitating.code, hesitating.out.strip()) == (1, ""), words
            assert told in hesitating.err, words
            assert "Nothing was changed." in hesitating.err
        done = await tidings(*words, "--json", typed="y\n")
        assert (done.code, bool(done.json)) == (0, True), done.err
        gone = await tidings(*words, "--yes")
        assert gone.code == 2, words


def test_every_argument_has_a_word_for_it() -> None:
    params: list[tuple[str, Any]] = [(v, p) for v, c in LEAVES.items() for p in c.params]
    missing = [f"{v} {p.name}" for v, p in params if not p.help and not p.hidden]
    assert not missing, missing
