"""An operator stops a channel where Tidings runs, sees that it is stopped, and lets it go on."""

from tests.cli.conftest import Tidings


async def test_a_channel_is_paused_shown_and_resumed_in_words(tidings: Tidings) -> None:
    at = ("--reason", "Texts name [the] wrong product", "--until", "2099-11-22T14:30:00")
    paused = await tidings("channels", "pause", "sms", *at)
    words = "paused by hand until 2099-11-22 14:30 UTC by cli: Texts name [the] wrong product"
    assert (paused.code, paused.out) == (0, f"sms is {words}. 0 messages wait.\n")
    shown = " ".join((await tidings("channels", COLUMNS="300")).out.split())
    row = shown.partition("sms twilio")[2].partition("social x")[0]
    assert f"{words}; not configured" in row
    found = (await tidings("channels", "--json")).json
    assert isinstance(found, dict)
    (sms,) = [row for row in found["data"] if row["channel"] == "sms"]
    assert (sms["pause"]["by"], sms["waiting"]) == ("cli", 0)
    log = (await tidings("audit", "--json")).json
    assert isinstance(log, dict)
    assert [row["action"] for row in log["data"]] == ["channel.pause"]

    resumed = await tidings("channels", "resume", "sms")
    assert resumed.code == 0
    assert resumed.out.startswith("sms is not paused any more. 0 messages waited.\n")
    assert "paused by hand" not in (await tidings("channels")).out
    again = await tidings("channels", "resume", "sms", "--json")
    assert isinstance(again.json, dict)
    assert again.json["pause"] is None


async def test_what_an_operator_mistypes_is_told_and_changes_nothing(tidings: Tidings) -> None:
    for arguments, word in (
        (("pause", "sms"), "--reason"),
        (("pause", "fax", "--reason", "x"), "fax"),
        (("pause", "sms", "--reason", " "), "reason"),
        (("pause", "sms", "--reason", "x", "--until", "2020-01-01"), "over already"),
        (("pause", "banner", "--reason", "x"), "Banners are not sent"),
        (("resume", "banner"), "Banners are not sent"),
    ):
        result = await tidings("channels", *arguments)
        assert (result.code, result.out) == (2, ""), arguments
        assert word in result.err
        assert "Traceback" not in result.err
    assert "paused by hand" not in (await tidings("channels")).out
