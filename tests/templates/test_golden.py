"""Every wording, word for word. `TIDINGS_REWRITE_GOLDEN=1` writes them anew: read them aloud."""

import os
from pathlib import Path

import pytest

from channels.model import ChannelKind
from templates.facts import Facts
from templates.render import Kind, Occasion, Rendering, compose
from templates.slots import Filler, fill
from templates.words import FOLDER
from tests.templates.samples import ALL_STEPS, BEHIND, EVERYWHERE, MARIA, PREFIX, STORIES, Step

GOLDEN = Path(__file__).parent / "golden"
REWRITE = os.environ.get("TIDINGS_REWRITE_GOLDEN") == "1"

ids = [f"{story}-{name}" for story, name, _ in ALL_STEPS]


def renderings(step: Step) -> list[Rendering]:
    return compose(step.facts, BEHIND, step.occasion, channels=EVERYWHERE, tag_prefix=PREFIX)


def as_read(rendering: Rendering) -> dict[str, str]:
    values = Filler(rendering.slots).values(MARIA)
    return {part: fill(text, values) for part, text in rendering.parts.items()}


def same_as_golden(name: str, text: str) -> None:
    file = GOLDEN / name
    if REWRITE:
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{name} reads differently"


@pytest.mark.parametrize(("story", "name", "step"), ALL_STEPS, ids=ids)
def test_every_wording_reads_as_it_was_approved(story: str, name: str, step: Step) -> None:
    for rendering in renderings(step):
        parts = as_read(rendering)
        parts.pop("html", None)
        if rendering.channel is ChannelKind.EMAIL:
            text = f"Subject: {parts['subject']}\n\n{parts['text']}"
        elif set(parts) == {"text"}:
            text = f"{parts['text']}\n"
        else:
            text = "".join(f"{part}: {value}\n" for part, value in parts.items())
        voice = rendering.segment or "public"
        same_as_golden(f"{story}-{name}-{rendering.channel}-{voice}.txt", text)


@pytest.mark.parametrize("segment", EVERYWHERE)
def test_the_html_part_looks_as_it_was_approved(segment: str) -> None:
    step = STORIES["cards"]["workaround"]
    (mail,) = compose(
        step.facts,
        BEHIND,
        step.occasion,
        channels={segment: [ChannelKind.EMAIL]},
        tag_prefix=PREFIX,
    )
    same_as_golden(f"cards-workaround-email-{segment}.html", as_read(mail)["html"])


CLICHES = ("inconvenience", "rest assured", "apologi", "shortly", "asap", "value your", "kindly")


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.j2")), ids=lambda file: file.name)
def test_our_own_words_are_free_of_cliches(file: Path) -> None:
    words = file.read_text(encoding="utf-8").lower()
    assert not [each for each in CLICHES if each in words]


def test_no_golden_file_is_left_over() -> None:
    voices = [
        *(
            (channel, segment)
            for segment in EVERYWHERE
            for channel in ChannelKind
            if channel is not ChannelKind.SOCIAL
        ),
        (ChannelKind.SOCIAL, "public"),
    ]
    expected = {
        f"{story}-{name}-{channel}-{voice}.txt"
        for story, name, _ in ALL_STEPS
        for channel, voice in voices
    } | {f"cards-workaround-email-{segment}.html" for segment in EVERYWHERE}
    assert {file.name for file in GOLDEN.iterdir()} == expected


def impact_in_some_form(facts: Facts, occasion: Occasion) -> tuple[str, ...]:
    """The impact, its first sentence or the title: what a short message may say."""
    impact, title = facts.impact or "", facts.title or ""
    return (title,) if occasion.kind is Kind.RESOLVED else (impact.split(".")[0], title)


@pytest.mark.parametrize(("story", "name", "step"), ALL_STEPS, ids=ids)
def test_every_message_says_what_happened_when_next_and_where_to_look(
    story: str, name: str, step: Step
) -> None:
    for rendering in renderings(step):
        parts = as_read(rendering)
        told = " ".join(parts.values())
        assert any(form in told for form in impact_in_some_form(step.facts, step.occasion)), story
        assert step.occasion.incident_url in told
        promise = step.facts.next_update_by
        if promise is not None:
            assert f"{promise:%H:%M} UTC" in told, name


@pytest.mark.parametrize(("story", "name", "step"), ALL_STEPS, ids=ids)
def test_a_mail_has_room_for_who_is_hit_and_what_to_do(story: str, name: str, step: Step) -> None:
    mails = [each for each in renderings(step) if each.channel is ChannelKind.EMAIL]
    assert len(mails) == len(EVERYWHERE), story
    for mail in mails:
        text = as_read(mail)["text"]
        assert (step.facts.impact or "") in text
        if step.facts.scope:
            assert step.facts.scope.who
            assert step.facts.scope.who in text
            assert all(region in text for region in step.facts.scope.regions)
        if step.facts.workaround and step.occasion.kind is not Kind.RESOLVED:
            assert all(doing in text for doing in step.facts.workaround.steps), name
