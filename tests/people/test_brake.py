"""Guessing is slow wherever it comes from, and costs nobody but the guesser their way in."""

import asyncio
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta

from dispatcher.context import Context
from dispatcher.rules.roles import Role
from dispatcher.web.ids import USER
from dispatcher.web.people import brake
from dispatcher.web.people.users import link_user
from tests.flow.story import MovableClock
from tests.people.words import PASSWORD, accept, invite
from tests.web.client import Answer, Api

HOME, HOTEL, EVE = "198.51.100.7", "198.51.100.8", "203.0.113.9"
ADA = "ada@example.com"
FAILED_SQL = "select key from sign_in_brake where key = any($1::bytea[]) and failed > 0"


def _at(anonymous: Api, address: str) -> Api:
    return replace(anonymous, headers={"X-Forwarded-For": address})


async def _try(anonymous: Api, address: str, password: str, email: str = ADA) -> Answer:
    body = {"email": email, "password": password}
    return await _at(anonymous, address).call("POST", "/v1/sessions", body)


async def _closed_to(ctx: Context, email: str, address: str) -> datetime | None:
    """Without the work of a password, of which this file would need thousands."""
    attempt = brake.attempt_of(ctx, email=email, address=address)
    try:
        await brake.begin(ctx, attempt, known=False)
    except brake.ClosedError as closed:
        return closed.until
    return None


async def _is_closed(ctx: Context, email: str, address: str) -> bool:
    return await _closed_to(ctx, email, address) is not None


async def test_whoever_fails_with_an_email_does_not_keep_its_owner_out(
    anonymous: Api, ctx: Context, clock: MovableClock
) -> None:
    ada = await invite(ctx, "ada", Role.VIEWER)
    await accept(_at(anonymous, HOME), ada.link.token)
    for _ in range(brake.BY_PAIR.free):
        assert (await _try(anonymous, EVE, "wrong")).kind == "wrong-credentials"
    assert (await _try(anonymous, EVE, PASSWORD)).kind == "too-many-attempts"
    assert (await _try(anonymous, HOTEL, PASSWORD)).status == 201

    # From thousands of addresses at once the e-mail is closed to strangers, but not to her.
    for email in (ADA, "nobody@example.com"):
        closed = [await _is_closed(ctx, email, f"192.0.2.{n}") for n in range(brake.A_DAY_BY_EMAIL)]
        # Eve's five were counted, and those of who was let in were not.
        assert closed.count(True) == (brake.BY_PAIR.free if email == ADA else 0)
        refused = await _try(anonymous, "192.0.2.250", PASSWORD, email)
        assert refused.kind == "too-many-attempts"
        assert refused.headers["Retry-After"] == "432"
    for known in (HOME, HOTEL):
        assert (await _try(anonymous, known, PASSWORD)).status == 201
    # One that is not let through costs nothing, or who waits would wait for ever.
    clock.move(timedelta(seconds=432))
    assert (await _try(anonymous, "192.0.2.250", PASSWORD)).status == 201
    assert await _is_closed(ctx, "nobody@example.com", "192.0.2.251") is False
    assert await _is_closed(ctx, "nobody@example.com", "192.0.2.252")

    # Who shares her address closes it to strangers; even then she comes in, and a guesser there does not.
    at_home = [await _is_closed(ctx, f"x{n}@example.com", HOME) for n in range(41)]
    assert at_home == [False] * 40 + [True]
    assert (await _try(anonymous, HOME, "wrong", "y@example.com")).kind == "too-many-attempts"
    assert (await _try(anonymous, HOME, PASSWORD)).status == 201
    for _ in range(brake.BY_PAIR.free):
        assert (await _try(anonymous, HOME, "wrong")).kind == "wrong-credentials"
    assert (await _try(anonymous, HOME, PASSWORD)).kind == "too-many-attempts"
    number = ctx.signer.read_public_id(USER, ada.id)
    link = await link_user(ctx, number, actor="cli")
    await accept(_at(anonymous, HOME), link.token)
    assert (await _try(anonymous, HOME, PASSWORD)).status == 201


async def test_one_address_alone_never_closes_an_email_to_others(
    ctx: Context, clock: MovableClock
) -> None:
    until = clock.now() + timedelta(days=3)
    tried = 0
    while clock.now() < until:
        if (closed_to := await _closed_to(ctx, ADA, EVE)) is not None:
            clock.move(closed_to - clock.now())
        else:
            tried += 1
    assert tried > 250
    assert not await _is_closed(ctx, ADA, HOTEL)


async def test_a_flood_of_sign_ins_takes_two_hashes_at_a_time_and_who_is_known_comes_in(
    anonymous: Api, ctx: Context
) -> None:
    await accept(_at(anonymous, HOME), (await invite(ctx, "ada", Role.VIEWER)).link.token)

    async def flood(n: int) -> Answer:
        return await _try(anonymous, f"192.0.2.{n}", "wrong", f"x{n}@example.com")

    strangers = [asyncio.create_task(flood(n)) for n in range(30)]
    done, _ = await asyncio.wait(strangers, return_when=asyncio.FIRST_COMPLETED)
    while not any(task.result().status == 429 for task in done):
        assert len(done) < len(strangers)
        done, _ = await asyncio.wait(strangers, return_when=asyncio.FIRST_COMPLETED)
    # The hashes are full of strangers; the rest of the program hears of it only by its door.
    assert (await _try(anonymous, HOTEL, PASSWORD)).kind == "too-many-attempts"
    assert (await anonymous.get("/healthz")).status == 200
    assert not all(task.done() for task in strangers)
    assert (await _try(anonymous, HOME, PASSWORD)).status == 201
    answers = await asyncio.gather(*strangers)
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.headers["Retry-After"] for answer in refused} == {"5"}
    assert sorted({answer.status for answer in answers}) == [401, 429]
    names = [thread.name for thread in threading.enumerate()]
    assert 0 < sum(name.startswith("argon2") for name in names) <= 2
    # Who was sent away unheard has not failed.
    assert not await _is_closed(ctx, ADA, HOTEL)
    tried = [
        brake.attempt_of(ctx, email=f"x{n}@example.com", address=f"192.0.2.{n}") for n in range(30)
    ]
    failed = await ctx.pool.fetch(FAILED_SQL, [attempt.pair for attempt in tried])
    heard = [n for n, answer in enumerate(answers) if answer.status == 401]
    assert {row["key"] for row in failed} == {tried[n].pair for n in heard}


async def test_an_email_that_nobody_has_is_refused_with_as_much_work_as_a_wrong_password(
    anonymous: Api, ctx: Context
) -> None:
    await accept(_at(anonymous, HOME), (await invite(ctx, "ada", Role.VIEWER)).link.token)
    # Invited, and never came: there is no password to compare with.
    await invite(ctx, "bob", Role.VIEWER)
    spent = {}
    for email in (ADA, "bob@example.com", "nobody@example.com"):
        began = time.process_time()
        for n in range(3):
            assert (await _try(anonymous, f"192.0.2.{n}", "wrong", email)).status == 401
        spent[email] = time.process_time() - began
    # Without that work it is a twentieth.
    assert min(spent.values()) > max(spent.values()) / 3, spent
