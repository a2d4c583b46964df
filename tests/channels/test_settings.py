"""Settings: half a set of credentials is a mistake that is named, and secrets are never shown."""

import aiohttp
import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from channels.model import AnswersLookUps, ChannelKind, TellsReceipts
from channels.registry import build_channels
from channels.settings import ChannelSettings, SendGridSettings, TwilioSettings, XSettings
from tests.channels.signing import EventSigner

TWILIO = {"account_sid": "AC1", "auth_token": "canary"}
X = dict.fromkeys(XSettings.credentials, "canary")


def test_nothing_given_means_not_configured() -> None:
    settings = ChannelSettings()
    assert not settings.sendgrid.configured
    assert not settings.twilio.configured
    assert not settings.x.configured


def test_complete_credentials_mean_configured() -> None:
    assert SendGridSettings(api_key=SecretStr("canary")).configured
    assert TwilioSettings.model_validate(TWILIO).configured
    assert XSettings.model_validate(X).configured


@pytest.mark.parametrize(
    ("model", "values", "named"),
    [
        (TwilioSettings, {"account_sid": "AC1"}, "auth_token missing"),
        (TwilioSettings, {"auth_token": "canary"}, "account_sid missing"),
        (XSettings, {**X, "access_token_secret": None}, "access_token_secret missing"),
        (XSettings, {**X, "user_id": "@example"}, "user_id"),
        (SendGridSettings, {"api_key": "canary", "base_url": "api.sendgrid.com"}, "base_url"),
        (SendGridSettings, {"base_url": "ftp://x.example"}, "base_url"),
        (SendGridSettings, {"base_url": "https://canary@x.example"}, "base_url"),
        (SendGridSettings, {"base_url": "https://x.example/?a=canary"}, "base_url"),
        (SendGridSettings, {"webhook_public_key": "canary"}, "webhook_public_key"),
        (SendGridSettings, {"webhook_public_key": "ü"}, "webhook_public_key"),
        (SendGridSettings, {"webhook_public_key": "AAAA"}, "webhook_public_key"),
        (SendGridSettings, {"api_key": "canary", "timeout_s": 0}, "timeout_s"),
        (SendGridSettings, {"api_key": "canary", "surprise": "canary"}, "surprise"),
    ],
)
def test_a_mistake_is_named_without_showing_any_value(
    model: type[BaseModel], values: dict[str, object], named: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    assert named in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_verification_key_is_taken_as_the_provider_shows_it() -> None:
    key = EventSigner().public_key
    assert SendGridSettings(webhook_public_key=key).webhook_public_key == key


def test_a_slash_at_the_end_of_a_base_url_makes_no_difference() -> None:
    assert TwilioSettings(base_url="http://sandbox:8080/").base_url == "http://sandbox:8080"


def test_secrets_do_not_show_in_a_repr() -> None:
    assert "canary" not in repr(TwilioSettings.model_validate(TWILIO))


def channel_settings(**sections: object) -> ChannelSettings:
    return ChannelSettings.model_validate(sections)


async def test_only_configured_channels_are_built(session: aiohttp.ClientSession) -> None:
    public_url = "https://status.example.com"
    none = build_channels(ChannelSettings(), open_session=lambda: session, public_url=public_url)
    assert none == {}
    twilio = channel_settings(twilio=TWILIO)
    some = build_channels(twilio, open_session=lambda: session, public_url=public_url)
    assert set(some) == {ChannelKind.SMS}


async def test_an_adapter_is_made_by_the_first_look_at_it_and_only_once(
    session: aiohttp.ClientSession,
) -> None:
    opened: list[aiohttp.ClientSession] = []

    def open_session() -> aiohttp.ClientSession:
        opened.append(session)
        return session

    twilio = channel_settings(twilio=TWILIO)
    built = build_channels(twilio, open_session=open_session, public_url="https://example.com")
    assert ChannelKind.SMS in built
    assert opened == []
    assert built[ChannelKind.SMS] is built[ChannelKind.SMS]
    assert opened == [session]


async def test_each_channel_says_what_it_is_and_what_it_can_be_asked(
    session: aiohttp.ClientSession,
) -> None:
    settings = channel_settings(sendgrid={"api_key": "canary"}, twilio=TWILIO, x=X)
    built = build_channels(
        settings, open_session=lambda: session, public_url="https://status.example.com"
    )
    assert {kind: (one.kind, one.provider, one.batch_limit) for kind, one in built.items()} == {
        ChannelKind.EMAIL: (ChannelKind.EMAIL, "sendgrid", 1000),
        ChannelKind.SMS: (ChannelKind.SMS, "twilio", 1),
        ChannelKind.SOCIAL: (ChannelKind.SOCIAL, "x", 1),
    }
    assert {kind for kind, one in built.items() if isinstance(one, TellsReceipts)} == {
        ChannelKind.EMAIL,
        ChannelKind.SMS,
    }
    assert {kind for kind, one in built.items() if isinstance(one, AnswersLookUps)} == {
        ChannelKind.SMS,
        ChannelKind.SOCIAL,
    }


@pytest.mark.parametrize("kind", list(ChannelKind))
def test_the_code_of_a_kind_leads_back_to_it(kind: ChannelKind) -> None:
    assert ChannelKind.from_code(kind.code) is kind
