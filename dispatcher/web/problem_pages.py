"""`GET /problems/{kind}`: the page behind each `type`, made from the one table."""

from aiohttp import web

from dispatcher.rules.problem import not_found
from dispatcher.web.pages import page
from dispatcher.web.problems import PROBLEMS
from dispatcher.web.routing import Plain


async def get_problem(call: Plain) -> web.Response:
    """What one kind of refusal means and what to do."""
    kind = call.path("kind")
    row = PROBLEMS.get(kind)
    if row is None:
        raise not_found("kind of problem")
    return page("problem.html", {"kind": kind, "problem": row})


async def list_problems(_call: Plain) -> web.Response:
    """All kinds."""
    return page("problems.html", {"problems": PROBLEMS})
