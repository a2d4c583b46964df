"""POST and DELETE of posts, the user's timeline, and who the user is."""

import re
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

import orjson

from dispatcher.sandbox.ledger import Provider
from dispatcher.sandbox.world import Asked, Reply, World
from dispatcher.sandbox.x.posts import Post, Timeline, fits

_UNTYPED: Final = "about:blank"
_PROBLEMS: Final = "https://api.x.com/2/problems/"
_DUPLICATE: Final = "You are not allowed to create a Tweet with duplicate content."
_TOO_LONG: Final = "Your post is empty or longer than 280 weighted characters."
_TITLES: Final[Mapping[int, str]] = {
    400: "Invalid Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found Error",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
_CREDENTIAL = re.compile(r'(oauth_consumer_key|oauth_token)="([^"]*)"')
_POST_FIELDS: Final = frozenset(
    {
        "card_uri",
        "community_id",
        "direct_message_deep_link",
        "edit_options",
        "for_super_followers_only",
        "geo",
        "made_with_ai",
        "media",
        "nullcast",
        "paid_partnership",
        "poll",
        "quote_tweet_id",
        "reply",
        "reply_settings",
        "share_with_followers",
        "text",
    }
)
_REPLY_SETTINGS: Final = frozenset({"following", "mentionedUsers", "subscribers", "verified"})
_ID = re.compile(r"[0-9]{1,19}")

_QUARTER_HOUR: Final = 900
_DAY: Final = 86_400


class Window:
    """At most `limit` posts in any `seconds`; refused ones do not count."""

    def __init__(self, limit: int, seconds: int) -> None:
        self.limit = limit
        self._seconds = seconds
        self._times: deque[float] = deque()

    def left(self, now: float) -> int:
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        return self.limit - len(self._times)

    def take(self, now: float) -> None:
        self._times.append(now)

    def reset(self, now: float) -> int:
        """The second, in POSIX time, from which there is room again."""
        first = self._times[0] if self._times else now
        return int(first + self._seconds) + 1

    def clear(self) -> None:
        self._times.clear()


class X:
    """One user's account."""

    def __init__(self, world: World) -> None:
        settings = world.settings
        self._world = world
        self._timeline = Timeline(settings.kept * 20)
        self._short = Window(settings.x_posts_per_15_minutes, _QUARTER_HOUR)
        self._long = Window(settings.x_posts_per_day, _DAY)
        self._credentials = {
            "oauth_consumer_key": settings.x_consumer_key.get_secret_value(),
            "oauth_token": settings.x_access_token.get_secret_value(),
        }

    def reset(self) -> None:
        self._timeline.clear()
        self._short.clear()
        self._long.clear()

    def refuse(self, status: int, retry_after: float | None) -> Reply:
        headers = {}
        if retry_after is not None:
            headers["x-rate-limit-reset"] = str(int(self._world.clock() + retry_after))
        title = _TITLES.get(status, "Internal Error")
        return _problem(status, _UNTYPED, title, headers=headers)

    def post(self, asked: Asked) -> Reply:
        """201 with id and text."""
        if refused := self._unauthorised(asked):
            return refused
        now = self._world.clock()
        narrow = min(self._short, self._long, key=lambda window: window.left(now))
        if narrow.left(now) <= 0:
            return _problem(429, _UNTYPED, "Too Many Requests", headers=self._limits(now))
        body = _parsed(asked.body)
        if wrong := _invalid(body):
            return _problem(400, _PROBLEMS + "invalid-request", wrong)
        text = str(body["text"])
        if not fits(text):
            return _problem(403, _UNTYPED, _TOO_LONG)
        if self._timeline.holds(text):
            return _problem(403, _UNTYPED, _DUPLICATE, headers=self._limits(now))
        return self._accept(text, body, now)

    def delete(self, asked: Asked) -> Reply:
        if refused := self._unauthorised(asked):
            return refused
        number = asked.params["id"]
        if not self._timeline.remove(number):
            return _not_found("id", number, "tweet")
        return _json(200, {"data": {"deleted": True}})

    def timeline(self, asked: Asked) -> Reply:
        """The user's posts, newest first."""
        if refused := self._unauthorised(asked):
            return refused
        user = asked.params["id"]
        if user != self._world.settings.x_user_id:
            return _not_found("id", user, "user")
        try:
            size = int(asked.query.get("max_results", 10))
            posts = self._found(asked.query, size)
        except ValueError:
            return _problem(400, _PROBLEMS + "invalid-request", "A parameter is malformed.")
        fields = asked.query.get("tweet.fields", "").split(",")
        answer: dict[str, Any] = {"meta": _meta(posts, size)}
        if posts:
            answer["data"] = [post.resource(fields, user) for post in posts[:size]]
        return _json(200, answer)

    def me(self, asked: Asked) -> Reply:
        """Who the credentials belong to."""
        if refused := self._unauthorised(asked):
            return refused
        user = {"id": self._world.settings.x_user_id, "name": "Sandbox", "username": "sandbox"}
        return _json(200, {"data": user})

    def _unauthorised(self, asked: Asked) -> Reply | None:
        """The signature is not checked: it is made for the host of the real X."""
        header = asked.headers.get("Authorization", "")
        given = dict(_CREDENTIAL.findall(header))
        if header.startswith("OAuth ") and given == self._credentials:
            return None
        return self.refuse(401, None)

    def _accept(self, text: str, body: Mapping[str, Any], now: float) -> Reply:
        reply_to = (body.get("reply") or {}).get("in_reply_to_tweet_id")
        post = self._timeline.add(text, reply_to, now)
        self._short.take(now)
        self._long.take(now)
        self._world.ledger.record(
            {"provider": Provider.X, "at": now, "rq": "", "ref": post.id, "keys": [text]}, post
        )
        return _json(201, {"data": post.resource((), "")}, self._limits(now))

    def _limits(self, now: float) -> dict[str, str]:
        return {
            "x-rate-limit-limit": str(self._short.limit),
            "x-rate-limit-remaining": str(max(0, self._short.left(now))),
            "x-rate-limit-reset": str(self._short.reset(now)),
            "x-app-limit-24hour-limit": str(self._long.limit),
            "x-app-limit-24hour-remaining": str(max(0, self._long.left(now))),
            "x-app-limit-24hour-reset": str(self._long.reset(now)),
        }

    def _found(self, query: Mapping[str, str], size: int) -> list[Post]:
        """One more than `size` when there is a next page."""
        checks: list[Callable[[Post], bool]] = []
        if since := query.get("since_id"):
            checks.append(lambda post: int(post.id) > int(since))
        if until := query.get("pagination_token") or query.get("until_id"):
            checks.append(lambda post: int(post.id) < int(until))
        if start := query.get("start_time"):
            earliest = datetime.fromisoformat(start).timestamp()
            checks.append(lambda post: post.at >= earliest)
        if end := query.get("end_time"):
            latest = datetime.fromisoformat(end).timestamp()
            checks.append(lambda post: post.at < latest)
        posts = self._timeline.newest_first()
        return list(islice((p for p in posts if all(ok(p) for ok in checks)), size + 1))


def _meta(posts: list[Post], size: int) -> dict[str, object]:
    shown = posts[:size]
    meta: dict[str, object] = {"result_count": len(shown)}
    if shown:
        meta |= {"newest_id": shown[0].id, "oldest_id": shown[-1].id}
    if len(posts) > size:
        meta["next_token"] = shown[-1].id
    return meta


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _invalid(body: Mapping[str, Any]) -> str | None:
    """What X would call wrong with the request, apart from its words."""
    if not isinstance(body.get("text"), str):
        return "The text field is required and must be a string."
    if unknown := sorted(body.keys() - _POST_FIELDS):
        return f"The field {unknown[0]} is not known."
    if body.get("reply_settings") not in _REPLY_SETTINGS | {None}:
        return "The reply_settings field has an unknown value."
    reply = body.get("reply")
    if reply is not None and not _is_reply(reply):
        return "The reply field must name the post it answers in in_reply_to_tweet_id."
    return None


def _is_reply(value: object) -> bool:
    number = value.get("in_reply_to_tweet_id") if isinstance(value, dict) else None
    return isinstance(number, str) and _ID.fullmatch(number) is not None


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps(body), headers or {})


def _not_found(parameter: str, value: str, kind: str) -> Reply:
    return _problem(
        404,
        _PROBLEMS + "resource-not-found",
        f"Could not find {kind} with {parameter}: [{value}].",
        parameter=parameter,
        value=value,
        resource_type=kind,
        resource_id=value,
    )


def _problem(
    status: int,
    type_: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: str,
) -> Reply:
    title = _TITLES.get(status, "Error")
    body = {"detail": detail, "type": type_, "title": title, "status": status, **more}
    # The live API labels its untyped problems plain JSON, unlike its own document.
    label = "application/json" if type_ == _UNTYPED else "application/problem+json"
    return Reply(status, orjson.dumps(body), headers or {}, content_type=label)
