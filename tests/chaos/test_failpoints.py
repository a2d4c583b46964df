"""Failpoints do what is armed, where it is armed, and nothing otherwise."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.app import running
from dispatcher.config import Settings, SettingsError
from dispatcher.config.model import SelfTestSettings
from dispatcher.failpoints import NAMES, BrokenHereError, FailpointError, arm, reach

PRODUCT = Path(__file__).resolve().parents[2] / "dispatcher"


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm({})


def test_every_failpoint_is_reached_somewhere_and_every_place_has_a_name() -> None:
    sources = [path.read_text("utf-8") for path in PRODUCT.rglob("*.py")]
    reached = Counter(name for text in sources for name in re.findall(r'reach\("([^"]+)"\)', text))
    assert reached.keys() == NAMES


async def test_a_process_armed_with_an_unknown_failpoint_does_not_start(settings: Settings) -> None:
    test = SelfTestSettings(failpoints=True, at={"send.after_lunch": "kill"})
    with pytest.raises(SettingsError, match=r"no failpoint send\.after_lunch; there are accept\."):
        async with running(settings.model_copy(update={"test": test})):
            pass


@pytest.mark.parametrize("action", ["explode", "kill@0", "delay", "kill:3", "delay:1@", ""])
def test_an_action_that_cannot_be_understood_is_refused(action: str) -> None:
    with pytest.raises(FailpointError, match=r"send\.after_claim cannot"):
        arm({"send.after_claim": action})


async def test_an_action_for_the_third_arrival_waits_for_it_and_strikes_once() -> None:
    arm({"send.after_claim": "fail@3"})
    await reach("send.after_claim")
    await reach("send.after_intent")
    await reach("send.after_claim")
    with pytest.raises(BrokenHereError, match=r"send\.after_claim"):
        await reach("send.after_claim")
    await reach("send.after_claim")
