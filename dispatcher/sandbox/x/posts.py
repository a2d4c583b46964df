"""Posts of one user, with the rules X applies to their text."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from twitter_text import extract_urls_with_indices, parse_tweet

from dispatcher.sandbox.ledger import Acceptance, Entry

_EPOCH_MS: Final = 1_288_834_974_657
"""Where X begins to count the milliseconds in its ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """`written` is the text as sent, `links` what stands for its URLs: (t.co, URL) in order."""

    id: str
    at: float
    written: str
    links: tuple[tuple[str, str], ...]
    reply_to: str | None

    @property
    def text(self) -> str:
        """The text as X returns it: each URL replaced by its t.co form."""
        return _with_links(self.written, [short for short, _ in self.links])

    def resource(self, fields: Collection[str], author: str) -> dict[str, Any]:
        """The default fields and those asked for in `tweet.fields`."""
        optional: dict[str, Any] = {
            "author_id": author,
            "created_at": iso(self.at),
            "entities": {"urls": list(self._urls())},
            "conversation_id": self.reply_to or self.id,
        }
        chosen = {name: optional[name] for name in fields if name in optional}
        return {"id": self.id, "text": self.text, "edit_history_tweet_ids": [self.id], **chosen}

    def _urls(self) -> Iterator[Mapping[str, object]]:
        start = 0
        for short, long in self.links:
            start = self.text.index(short, start)
            yield {
                "start": start,
                "end": start + len(short),
                "url": short,
                "expanded_url": long if "://" in long else f"http://{long}",
                "display_url": long.partition("://")[2] or long,
            }
            start += len(short)

    def entry(self, acceptance: Acceptance, index: int) -> Entry:
        return Entry(
            seq=acceptance.first + index,
            provider=acceptance.provider,
            key=acceptance.keys[index],
            request_id=acceptance.request_id,
            at=acceptance.at,
            provider_ref=self.id,
            sender="",
            to="",
            text=self.written,
            state="posted",
        )


class Timeline:
    """The latest `limit` posts, and the texts that may not be repeated."""

    def __init__(self, limit: int) -> None:
        self._posts: deque[Post] = deque(maxlen=max(limit, 1))
        self._last_id = 0

    def clear(self) -> None:
        self._posts.clear()

    def add(self, written: str, reply_to: str | None, now: float) -> Post:
        self._last_id = max(self._last_id + 1, (int(now * 1000) - _EPOCH_MS) << 22)
        urls = [found["url"] for found in extract_urls_with_indices(written)]
        post = Post(
            id=str(self._last_id),
            at=now,
            written=written,
            links=tuple((_short(self._last_id, n), url) for n, url in enumerate(urls)),
            reply_to=reply_to,
        )
        self._posts.append(post)
        return post

    def remove(self, number: str) -> bool:
        """Whether it was there. Its text may then be posted again."""
        found = next((post for post in self._posts if post.id == number), None)
        if found is not None:
            self._posts.remove(found)
        return found is not None

    def holds(self, written: str) -> bool:
        """Whether a post of the same words is there, whatever its spacing."""
        words = written.split()
        return any(post.written.split() == words for post in self._posts)

    def newest_first(self) -> Iterator[Post]:
        return reversed(self._posts)


def fits(text: str) -> bool:
    """Neither empty nor longer than X's weighted 280."""
    return bool(parse_tweet(text).valid)


def iso(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(post: int, number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    rest, name = (post << 4) + number, ""
    while rest:
        rest, digit = divmod(rest, len(digits))
        name = digits[digit] + name
    return f"https://t.co/{name[-10:]}"


def _with_links(written: str, links: list[str]) -> str:
    """`written` with its URLs replaced, from the last to the first so that places stay true."""
    text = written
    found = extract_urls_with_indices(written)
    for url, link in reversed(list(zip(found, links, strict=True))):
        start, end = url["indices"]
        text = text[:start] + link + text[end:]
    return text
