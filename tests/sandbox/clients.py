"""The providers' real SDKs, pointed at a sandbox."""

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from sendgrid.helpers.mail import (
    Category,
    CustomArg,
    From,
    Mail,
    Personalization,
    ReplyTo,
    Subject,
    To,
)
from tweepy.asynchronous import AsyncClient as TweepyClient
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client as TwilioClient
from yarl import URL

from dispatcher.sandbox import RunningSandbox

Answer = tuple[int, Mapping[str, str], bytes]


class _HttpClient(AsyncHttpClient):  # type: ignore[misc]  # the SDK carries no types
    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        super().__init__(logger=None, is_async=True)
        self._session, self._base = session, base

    async def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        *_: object,
        **__: object,
    ) -> Response:
        url = self._base + URL(uri).path_qs
        login = {"Authorization": aiohttp.encode_basic_auth(*auth)} if auth else {}
        given = {name: value for name, value in (params or {}).items() if value is not None}
        async with self._session.request(
            method, url, params=given, data=data, headers={**(headers or {}), **login}
        ) as answer:
            return Response(answer.status, await answer.text(), answer.headers)


class _Session:
    """The one method of a session that tweepy calls, with the host replaced."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session, self._base = session, base

    def request(self, method: str, url: Any, **options: Any) -> Any:
        path = str(url).removeprefix("https://api.twitter.com")
        return self._session.request(method, URL(self._base + path, encoded=True), **options)


class Clients:
    """What a product would send with."""

    def __init__(self, sandbox: RunningSandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    def twilio(self, token: str | None = None) -> TwilioClient:
        settings = self.sandbox.settings
        return TwilioClient(
            settings.twilio_account_sid,
            token or settings.twilio_auth_token.get_secret_value(),
            http_client=_HttpClient(self.session, self.sandbox.twilio_url),
        )

    def tweepy(self, consumer_key: str = "sandbox", **options: Any) -> TweepyClient:
        client = TweepyClient(
            consumer_key=consumer_key,
            consumer_secret="sandbox",
            access_token="1-sandbox",
            access_token_secret="sandbox",
            return_type=options.get("return_type", dict),
        )
        client.session = _Session(self.session, self.sandbox.x_url)
        return client

    async def send_mail(self, mail: object, key: str = "SG.sandbox") -> Answer:
        """POST mail/send with a helper's or a plain body."""
        body = mail.get() if isinstance(mail, Mail) else mail
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{self.sandbox.sendgrid_url}/v3/mail/send"
        async with self.session.post(url, json=body, headers=headers) as answer:
            return answer.status, answer.headers, await answer.read()

    async def text(self, to: str, **options: Any) -> Any:
        """One text with the real SDK; the default sender is Twilio's own test number."""
        given = {"from_": "+15005550006", "body": "Checkout is slow.", **options}
        return await self.twilio().messages.create_async(to=to, **given)

    async def control(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """A call to /sandbox/…"""
        options: dict[str, Any] = {} if body is None else {"json": body}
        url = f"{self.sandbox.url}/sandbox/{path}"
        async with self.session.request(method, url, **options) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())

    async def fault(self, **fault: object) -> None:
        status, answer = await self.control("POST", "faults", fault)
        assert status == 201, answer


def mail_to(
    addresses: Sequence[str], *, key: str = "k-{}", values: Mapping[str, str] | None = None
) -> Mail:
    """A mail built with SendGrid's helper, one personalization per address."""
    mail = Mail(
        from_email=From("status@example.com", "Example Status"),
        subject=Subject("Checkout is slow, -name-"),
        plain_text_content="Dear -name-",
        html_content="<p>Dear -name-</p>",
    )
    for index, address in enumerate(addresses):
        one = Personalization()
        one.add_to(To(address))
        one.add_custom_arg(CustomArg("tidings", key.format(index)))
        one.add_custom_arg(CustomArg("rq", "request-1"))
        one.substitutions = [values or {"-name-": f"Person {index}"}]
        mail.add_personalization(one, index=index)
    mail.reply_to = ReplyTo("help@example.com")
    mail.add_category(Category("incident"))
    return mail
