"""Within one process, what is less urgent lets what is urgent go first, and is never stopped by it."""

import asyncio

from dispatcher.context import GIVE_WAY_S, Precedence


async def test_nobody_waits_while_nothing_urgent_is_in_hand() -> None:
    precedence = Precedence()
    with precedence.taken():
        pass
    await asyncio.wait_for(precedence.give_way(), GIVE_WAY_S / 2)


async def test_who_gives_way_goes_on_when_the_last_urgent_thing_is_done() -> None:
    precedence = Precedence()
    with precedence.taken():
        with precedence.taken():
            waiting = asyncio.create_task(precedence.give_way())
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, GIVE_WAY_S / 2)


async def test_a_flood_of_the_urgent_does_not_stop_the_rest() -> None:
    precedence = Precedence()
    with precedence.taken():
        await asyncio.wait_for(precedence.give_way(), GIVE_WAY_S * 20)
