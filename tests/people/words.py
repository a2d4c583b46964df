"""Words for stories about people: invite somebody, let them in."""

from dispatcher.context import Context
from dispatcher.rules.roles import Role
from dispatcher.web.people.models import Invited, UserIn
from dispatcher.web.people.users import create_user
from tests.web.client import Api

PASSWORD = "four green bottles"


async def invite(ctx: Context, name: str, role: Role, *account_ids: str) -> Invited:
    """Somebody new, `name@example.com`, as the command line makes them."""
    body = UserIn(
        email=f"{name}@example.com", name=name.title(), role=role, account_ids=list(account_ids)
    )
    return await create_user(ctx, body, actor="cli")


async def accept(anonymous: Api, token: str, password: str = PASSWORD) -> None:
    """Set a password with the token of a link."""
    body = {"token": token, "password": password}
    answer = await anonymous.call("POST", "/v1/invitations", body)
    assert answer.status == 200, answer.body


async def sign_in(anonymous: Api, name: str, password: str = PASSWORD) -> Api:
    """Calls as this person."""
    body = {"email": f"{name}@example.com", "password": password}
    answer = await anonymous.call("POST", "/v1/sessions", body)
    assert answer.status == 201, answer.body
    return anonymous.bearing(answer.json["token"])


async def somebody(ctx: Context, anonymous: Api, role: Role, *, name: str = "ada") -> Api:
    """A new person with this role, signed in."""
    await accept(anonymous, (await invite(ctx, name, role)).link.token)
    return await sign_in(anonymous, name)
