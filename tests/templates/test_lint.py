from dataclasses import replace

import pytest

from channels.model import ChannelKind
from templates.lint import lint
from templates.render import Kind, Rendering, compose
from tests.templates.samples import ALL_STEPS, BEHIND, EVERYWHERE, PREFIX, STORIES, Step, occasion

STEP = STORIES["cards"]["workaround"]


def told(step: Step = STEP) -> list[Rendering]:
    return compose(step.facts, BEHIND, step.occasion, channels=EVERYWHERE, tag_prefix=PREFIX)


def with_part(rendering: Rendering, part: str, text: str) -> Rendering:
    return replace(rendering, parts={**rendering.parts, part: text})


@pytest.mark.parametrize("step", [step for *_, step in ALL_STEPS])
def test_our_own_words_are_without_findings(step: Step) -> None:
    assert lint(told(step), step.facts, step.occasion) == []


def broken(name: str) -> list[Rendering]:
    mail = next(each for each in told() if each.channel is ChannelKind.EMAIL)
    sms = next(each for each in told() if each.channel is ChannelKind.SMS)
    post = next(each for each in told() if each.channel is ChannelKind.SOCIAL)
    banner = next(each for each in told() if each.channel is ChannelKind.BANNER)
    text = mail.parts["text"]
    return {
        "left over": [with_part(mail, "text", text + "Hello {{name}}")],
        "stray tag": [with_part(mail, "html", mail.parts["html"] + "{%abc:name.html%}")],
        "insecure": [with_part(mail, "html", mail.parts["html"] + '<a href="http://a.example">')],
        "no promise": [with_part(sms, "text", sms.parts["text"].replace("15:30", "soon"))],
        "other promise": [with_part(banner, "body", "Next update by 16:30 UTC.")],
        "no link": [with_part(sms, "text", sms.parts["text"].replace("/i/42", "/i/43"))],
        "other facts": [replace(post, facts_hash="0" * 64)],
        "long banner": [with_part(banner, "title", "x" * 121)],
        "long post": [replace(post, weighted_length=281)],
        "long text": [replace(sms, segments_worst=3)],
    }[name]


@pytest.mark.parametrize(
    ("name", "rule", "part"),
    [
        ("left over", "placeholder", "text"),
        ("stray tag", "placeholder", "html"),
        ("insecure", "link", "html"),
        ("no promise", "contradiction", "text"),
        ("other promise", "contradiction", "body"),
        ("no link", "contradiction", "text"),
        ("other facts", "contradiction", ""),
        ("long banner", "length", "title"),
        ("long post", "length", "text"),
        ("long text", "length", "text"),
    ],
)
def test_a_broken_rendering_is_found(name: str, rule: str, part: str) -> None:
    found = lint(broken(name), STEP.facts, STEP.occasion)
    assert [(each.rule, each.part) for each in found] == [(rule, part)]


def test_an_open_incident_must_say_when_the_next_update_comes() -> None:
    silent = STEP.facts.model_copy(update={"next_update_by": None})
    found = lint(told(), silent, STEP.occasion)
    assert "next-update" in {each.rule for each in found}
    over = lint(told(), silent, occasion(Kind.RESOLVED))
    assert "next-update" not in {each.rule for each in over}


def test_a_demo_on_this_machine_may_link_itself_without_https() -> None:
    case = replace(STEP.occasion, incident_url="http://127.0.0.1:8080/i/42")
    renderings = compose(STEP.facts, None, case, channels=EVERYWHERE, tag_prefix=PREFIX)
    assert lint(renderings, STEP.facts, case) == []
