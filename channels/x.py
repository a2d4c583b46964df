"""Posts on X: tweepy signs and addresses the requests, our session carries them.

tweepy's own error handling is passed by: it fails on pages that are not JSON, waits for rate limits
inside the call, and opens a session per request. So refusals are thrown below it, with all headers.
"""

import html
import re
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

import aiohttp
import orjson
from tweepy.asynchronous import AsyncClient
from yarl import URL

from channels.model import (
    Accepted,
    ChannelKind,
    Fact,
    LookUp,
    Message,
    Reason,
    Rejected,
    SendResult,
    Unclear,
)
from channels.settings import XSettings
from channels.social_length import LIMIT, weighted_length
from channels.transport import (
    TRANSPORT_ERRORS,
    Answer,
    RefusedError,
    UnreadableError,
    exchange,
    from_error,
    from_status,
    rebase,
    unanswered,
)

_PROVIDER = "x"
_TIMELINE_LENGTH = 100
# Their clock stamps the posts, ours the question.
_CLOCK_SKEW = timedelta(seconds=30)
_ID = re.compile(r"[0-9]{1,19}")


class XChannel:
    """Posts, and finds its own posts again."""

    kind: Final = ChannelKind.SOCIAL
    provider: Final = _PROVIDER
    batch_limit: Final = 1
    atomic_batches: Final = True

    def __init__(self, settings: XSettings, *, session: aiohttp.ClientSession) -> None:
        secrets = {
            name: secret.get_secret_value()
            for name in XSettings.credentials
            if (secret := getattr(settings, name)) is not None
        }
        if len(secrets) < len(XSettings.credentials):
            raise ValueError("x: " + ", ".join(XSettings.credentials) + " are all needed")
        self._client = AsyncClient(**secrets, wait_on_rate_limit=False, return_type=dict)
        self._client.session = _Session(session, settings.base_url, settings.timeout_s)
        # X builds access tokens as <user id>-<random>.
        self._user_id = settings.user_id or secrets["access_token"].partition("-")[0]

    async def send(self, message: Message) -> Sequence[SendResult]:
        """One post. A duplicate is looked up: an earlier try may have got through."""
        (_,) = message.recipients
        text = message.parts["text"]
        if weighted_length(text) > LIMIT:
            # X answers this like a missing right, which would stop the whole sender.
            return [Rejected(Reason.TOO_LONG, f"x: more than {LIMIT} weighted characters")]
        try:
            created = await self._client.create_tweet(text=text, user_auth=True)
        except RefusedError as refused:
            return [await self._refused(refused.answer, text)]
        except UnreadableError as unreadable:
            return [Unclear(f"x http {unreadable.answer.status} with an unreadable body")]
        except TRANSPORT_ERRORS as error:
            return [from_error(_PROVIDER, error)]
        post = created.get("data")
        post_id = post.get("id") if isinstance(post, dict) else None
        if isinstance(post_id, str) and _ID.fullmatch(post_id):
            return [Accepted(post_id, Fact.POSTED)]
        return [Unclear("x answered without the id of the post")]

    async def _refused(self, answer: Answer, text: str) -> SendResult:
        if not _is_duplicate(answer):
            return from_status(_PROVIDER, answer)
        try:
            post_id = await self._find(text, since=None)
        except (RefusedError, UnreadableError, *TRANSPORT_ERRORS):
            return Unclear("x: duplicate, but the timeline cannot be read")
        if post_id is not None:
            return Accepted(post_id, Fact.POSTED)
        return Rejected(Reason.DUPLICATE_POST, "x: duplicate of a post that is not in the timeline")

    async def look_up(self, question: LookUp) -> Accepted | Rejected | Unclear | None:
        """Our own newest post with this text, from `since` on."""
        try:
            post_id = await self._find(question.text, since=question.since - _CLOCK_SKEW)
        except (RefusedError, UnreadableError, *TRANSPORT_ERRORS) as error:
            return unanswered(_PROVIDER, error)
        return Accepted(post_id, Fact.POSTED) if post_id is not None else None

    async def _find(self, text: str, *, since: datetime | None) -> str | None:
        window = {} if since is None else {"start_time": since}
        page = await self._client.get_users_tweets(
            self._user_id,
            user_auth=True,
            max_results=_TIMELINE_LENGTH,
            tweet_fields=["created_at", "entities"],
            **window,
        )
        wanted = _comparable(text)
        posts = page.get("data")
        for post in posts if isinstance(posts, list) else []:
            if not isinstance(post, dict) or not _ID.fullmatch(str(post.get("id"))):
                continue
            if _comparable(_with_links(post)) == wanted:
                return str(post["id"])
        return None

    async def close(self) -> None:
        """Nothing to let go of: the session belongs to its maker."""


def _is_duplicate(answer: Answer) -> bool:
    # The only mark is the sentence: no code, no type, and not the original's id.
    detail = (answer.json_object() or {}).get("detail")
    return (
        answer.status == HTTPStatus.FORBIDDEN
        and isinstance(detail, str)
        and "duplicate content" in detail
    )


def _with_links(post: Mapping[str, object]) -> str:
    """The text as it was sent: X replaces links by t.co ones and escapes three characters."""
    text = str(post.get("text", ""))
    entities = post.get("entities")
    urls = entities.get("urls") if isinstance(entities, dict) else None
    for link in urls if isinstance(urls, list) else []:
        if isinstance(link, dict) and isinstance(link.get("url"), str) and link["url"]:
            text = text.replace(link["url"], str(link.get("expanded_url", "")))
    return html.unescape(text)


def _comparable(text: str) -> str:
    """Equal for what X shows as equal: a bare host gains a scheme, white space is folded."""
    bare = re.sub(r"https?://", "", unicodedata.normalize("NFC", text))
    return " ".join(re.sub(r"/(?=\s|$)", "", bare).split())


class _Session:
    """What tweepy asks of a session: our base URL, time-out and errors.

    The signature stays that of api.twitter.com: tweepy signs before the address is exchanged.
    """

    def __init__(self, session: aiohttp.ClientSession, base_url: str, timeout_s: float) -> None:
        self._session = session
        self._base_url = base_url
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str | URL,
        *,
        params: None,  # tweepy signs them into the URL
        json: Mapping[str, object] | None,
        headers: Mapping[str, str],
    ) -> AsyncIterator["_Response"]:
        """One exchange; RefusedError passes through tweepy untouched."""
        del params
        answer = await exchange(
            self._session,
            method,
            rebase(url, self._base_url),
            headers=headers,
            data=None if json is None else orjson.dumps(json),
            timeout_s=self._timeout_s,
        )
        if not answer.ok:
            raise RefusedError(answer)
        yield _Response(answer)


class _Response:
    """What tweepy asks of a successful response."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers = answer.headers
        self.reason = ""

    async def read(self) -> bytes:
        """The body."""
        return self._answer.body

    async def json(self) -> dict[str, object]:
        """The body as an object; raises UnreadableError when it is not one."""
        body = self._answer.json_object()
        if body is None:
            raise UnreadableError(self._answer)
        return body
