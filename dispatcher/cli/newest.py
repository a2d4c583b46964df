"""The dispatch that is meant where none is named."""

from dispatcher.cli.base import print_json
from dispatcher.cli.draw import NOTHING_YET
from dispatcher.cli.plain import say
from dispatcher.context import Context
from dispatcher.stages.report import latest_dispatch
from dispatcher.web.ids import DISPATCH


async def or_newest(built: Context, dispatch: str | None) -> str | None:
    """The id as it was given, or that of the newest; None where there is none yet."""
    if dispatch is not None:
        return dispatch
    async with built.pool.acquire() as conn:
        number = await latest_dispatch(conn)
    return None if number is None else built.signer.public_id(DISPATCH, number)


def print_nothing_yet(*, as_json: bool) -> None:
    """Where no update has been sent: no mistake, but nothing to show."""
    if as_json:
        print_json(None)
        return
    for line in NOTHING_YET:
        say(line)
