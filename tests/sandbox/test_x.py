"""The X-shaped server, through tweepy."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from tweepy.errors import BadRequest, Forbidden, NotFound, TooManyRequests, Unauthorized

from dispatcher.sandbox import Provider, RunningSandbox
from tests.sandbox.clients import Clients
from tests.sandbox.conftest import Open

LINK = "https://status.example.com/i/42"


async def test_a_post_is_accepted_with_its_links_shortened(
    clients: Clients, sandbox: RunningSandbox
) -> None:
    answer = await clients.tweepy().create_tweet(text=f"Checkout is slow. {LINK}")
    assert answer["data"]["id"].isdecimal()
    assert answer["data"]["text"].startswith("Checkout is slow. https://t.co/")
    (entry,) = sandbox.ledger.entries(Provider.X)
    assert entry.text == entry.key == f"Checkout is slow. {LINK}"
    assert entry.provider_ref == answer["data"]["id"]


async def test_the_timeline_expands_links_so_that_texts_can_be_compared(clients: Clients) -> None:
    written = f"👩‍👩‍👧 {LINK} and {LINK} (status.example.com) done"
    tweepy = clients.tweepy()
    await tweepy.create_tweet(text=written)
    answer = await tweepy.get_users_tweets(
        1, user_auth=True, tweet_fields=["entities", "created_at", "author_id"]
    )
    (post,) = answer["data"]
    text = post["text"]
    for url in reversed(post["entities"]["urls"]):
        assert text[url["start"] : url["end"]] == url["url"]
        text = text[: url["start"]] + url["expanded_url"] + text[url["end"] :]
    assert text == written.replace("(status", "(http://status")
    assert post["author_id"] == "1"
    assert datetime.fromisoformat(post["created_at"]).tzinfo is not None


async def test_the_same_words_are_refused_until_the_first_post_is_deleted(clients: Clients) -> None:
    tweepy = clients.tweepy()
    first = await tweepy.create_tweet(text="Checkout is slow.")
    with pytest.raises(Forbidden) as refused:
        await tweepy.create_tweet(text="Checkout  is slow.\n")
    assert refused.value.api_messages == [
        "You are not allowed to create a Tweet with duplicate content."
    ]
    assert refused.value.api_codes == []
    assert await tweepy.delete_tweet(first["data"]["id"]) == {"data": {"deleted": True}}
    await tweepy.create_tweet(text="Checkout is slow.")
    assert len(clients.sandbox.ledger) == 2


async def test_deleting_what_is_not_there_is_not_found(clients: Clients) -> None:
    with pytest.raises(NotFound):
        await clients.tweepy().delete_tweet(7)


@pytest.mark.parametrize("text", ["x" * 281, "ж" * 279 + LINK, "", "語" * 141])
async def test_what_does_not_fit_is_refused(clients: Clients, text: str) -> None:
    with pytest.raises(Forbidden):
        await clients.tweepy().create_tweet(text=text)
    assert len(clients.sandbox.ledger) == 0


@pytest.mark.parametrize("text", ["x" * 280, "x" * 256 + " " + LINK * 1, "語" * 140])
async def test_what_just_fits_is_taken(clients: Clients, text: str) -> None:
    assert (await clients.tweepy().create_tweet(text=text))["data"]["id"]


async def test_what_is_left_of_the_limit_is_told_and_the_rest_refused_until_the_reset(
    open_sandbox: Open,
) -> None:
    clients = await open_sandbox(x_posts_per_15_minutes=2)
    tweepy = clients.tweepy(return_type=aiohttp.ClientResponse)
    for left in ("1", "0"):
        answer = await tweepy.create_tweet(text=f"{left} left")
        assert answer.headers["x-rate-limit-limit"] == "2"
        assert answer.headers["x-rate-limit-remaining"] == left
        assert answer.headers["x-app-limit-24hour-limit"] == "10000"
    with pytest.raises(TooManyRequests) as refused:
        await tweepy.create_tweet(text="one too many")
    wait = refused.value.reset_time - datetime.now(UTC).timestamp()
    assert 890 < wait <= 901
    assert "Retry-After" not in refused.value.response.headers


async def test_posts_are_possible_again_when_the_window_has_passed(open_sandbox: Open) -> None:
    clients = await open_sandbox(x_posts_per_15_minutes=1)
    window = clients.sandbox.servers.x._short
    await clients.tweepy().create_tweet(text="first")
    now = datetime.now(UTC).timestamp()
    assert window.left(now + 899) == 0
    assert window.left(now + 901) == 1


async def test_the_daily_limit_counts_too(open_sandbox: Open) -> None:
    clients = await open_sandbox(x_posts_per_day=1)
    await clients.tweepy().create_tweet(text="first")
    with pytest.raises(TooManyRequests):
        await clients.tweepy().create_tweet(text="second")


async def test_pages_and_filters_of_the_timeline(clients: Clients) -> None:
    tweepy = clients.tweepy()
    ids = [
        int((await tweepy.create_tweet(text=f"post {number}"))["data"]["id"]) for number in range(7)
    ]
    newest_first = [str(number) for number in reversed(ids)]
    page = await tweepy.get_users_tweets(1, user_auth=True, max_results=5)
    assert [post["id"] for post in page["data"]] == newest_first[:5]
    assert page["meta"]["newest_id"] == newest_first[0]
    rest = await tweepy.get_users_tweets(
        1, user_auth=True, max_results=5, pagination_token=page["meta"]["next_token"]
    )
    assert [post["id"] for post in rest["data"]] == newest_first[5:]
    assert "next_token" not in rest["meta"]

    async def found(**filters: Any) -> list[str]:
        answer = await tweepy.get_users_tweets(1, user_auth=True, **filters)
        return [post["id"] for post in answer.get("data", ())]

    assert await found(since_id=ids[4]) == newest_first[:2]
    assert await found(until_id=ids[1]) == newest_first[-1:]
    now = datetime.now(UTC).replace(microsecond=0)
    minute = timedelta(minutes=1)
    assert len(await found(start_time=now - minute, end_time=now + minute)) == 7
    assert await found(start_time=now + minute) == []
    with pytest.raises(BadRequest):
        await found(start_time="yesterday")


async def test_another_users_timeline_is_not_here(clients: Clients) -> None:
    with pytest.raises(NotFound):
        await clients.tweepy().get_users_tweets(2, user_auth=True)


async def test_the_credentials_say_who_posts(clients: Clients) -> None:
    assert (await clients.tweepy().get_me(user_auth=True))["data"]["id"] == "1"


async def test_wrong_credentials_are_refused_everywhere(clients: Clients) -> None:
    wrong = clients.tweepy(consumer_key="other")
    for call in (
        wrong.create_tweet(text="x"),
        wrong.delete_tweet(7),
        wrong.get_users_tweets(1, user_auth=True),
        wrong.get_me(user_auth=True),
    ):
        with pytest.raises(Unauthorized):
            await call


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": 7},
        {"text": "x", "colour": "red"},
        {"text": "x", "reply_settings": "nobody"},
        {"text": "x", "reply": {"in_reply_to_tweet_id": "not-a-number"}},
        {"text": "x", "reply": "7"},
        ["text"],
    ],
)
async def test_malformed_posts_are_refused(clients: Clients, body: object) -> None:
    headers = {"Authorization": 'OAuth oauth_consumer_key="sandbox", oauth_token="1-sandbox"'}
    url = f"{clients.sandbox.x_url}/2/tweets"
    async with clients.session.post(url, json=body, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["detail"]


async def test_a_reply_stays_in_the_conversation(clients: Clients) -> None:
    tweepy = clients.tweepy()
    first = (await tweepy.create_tweet(text="first"))["data"]["id"]
    await tweepy.create_tweet(text="second", in_reply_to_tweet_id=first)
    answer = await tweepy.get_users_tweets(1, user_auth=True, tweet_fields=["conversation_id"])
    assert [post["conversation_id"] for post in answer["data"]] == [first, first]
