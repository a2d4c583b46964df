from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.model import ChannelKind
from templates.brand import Brand
from templates.facts import Facts, Internal
from templates.render import Kind, Occasion, TemplateError, compose, kind_of
from templates.slots import Filler, fill
from tests.templates.samples import (
    ALL_STEPS,
    CARDS,
    EVERYWHERE,
    MARIA,
    PREFIX,
    RICH,
    SEGMENTS,
    SPARSE,
    STORIES,
    at,
    composed,
    occasion,
    one,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "{{ 7*7 }}",
    "{% raw %}{{ x }}{% endraw %}",
    "{%evil01:name.html%}",
    "</td></tr></table><h1>gone</h1>",
    "\" onmouseover='x' &amp; & < >",
    "# not a title",
    "## not a heading",
    "1. not a step",
    "=> https://evil.example/ not a link",
    "---",
    "^ not a preheader",
]


class Reader(HTMLParser):
    """What a person reads of a page, and which elements it is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.mark.parametrize("hostile", HOSTILE)
def test_whatever_facts_contain_comes_out_as_text(hostile: str) -> None:
    update = {"title": hostile, "impact": hostile, "what_we_do": hostile, "do_not": (hostile,)}
    facts = RICH.model_copy(update=update)
    ours = Reader(one(RICH, occasion(Kind.UPDATE), ChannelKind.EMAIL).parts["html"])
    mail = one(facts, occasion(Kind.UPDATE), ChannelKind.EMAIL)
    theirs = Reader(mail.parts["html"])
    assert theirs.tags == ours.tags
    assert theirs.links == ours.links
    for part in (theirs.text, " ".join(mail.parts["text"].split())):
        assert part.count(" ".join(hostile.split())) >= 4


def test_facts_with_line_breaks_keep_their_lines() -> None:
    facts = RICH.model_copy(update={"impact": "First line\n## second\n\n1. third"})
    mail = one(facts, occasion(Kind.UPDATE), ChannelKind.EMAIL)
    assert "First line\n## second\n\n1. third" in mail.parts["text"]
    assert "First line<br>## second<br><br>1. third" in mail.parts["html"]


@settings(max_examples=25)
@given(st.sampled_from(ALL_STEPS), st.sampled_from(["cause", "flag", "state", "script"]))
def test_nothing_internal_ever_reaches_another_segment(
    told: tuple[str, str, object], where: str
) -> None:
    step = STORIES[told[0]][told[1]]
    canaries = {name: f"canary{name}" for name in ("cause", "flag", "state", "script")}
    behind = Internal.model_validate(
        {
            "cause": canaries["cause"],
            "flags": [{"name": canaries["flag"], "state": canaries["state"]}],
            "script": canaries["script"],
        }
    )
    channels = {**EVERYWHERE, "own segment": frozenset(ChannelKind)}
    renderings = compose(step.facts, behind, step.occasion, channels=channels, tag_prefix=PREFIX)
    readers = {
        each.segment for each in renderings if canaries[where] in "".join(each.parts.values())
    }
    assert readers == {"internal"}


@settings(max_examples=25)
@given(st.sampled_from(["enterprise", "smb", "own"]), st.sampled_from(list(Kind)))
def test_customers_never_read_what_is_not_confirmed(segment: str, kind: Kind) -> None:
    facts = Facts.model_validate(
        {
            **RICH.model_dump(mode="json"),
            "cause": {"text": "canarycause", "confirmed": False},
            "eta": {"earliest": "2026-11-24T03:33Z", "latest": "2026-11-24T04:44Z"},
        }
    )
    told = "".join(
        text
        for rendering in composed(facts, occasion(kind), segment=segment)
        for text in rendering.parts.values()
    )
    assert "canarycause" not in told
    assert "03:33" not in told
    assert "04:44" not in told


def test_a_confirmed_time_is_told_as_a_range() -> None:
    mail = one(RICH, occasion(Kind.UPDATE, at=at(100)), ChannelKind.EMAIL)
    assert "We expect this to be over between 15:00 and 16:00 UTC." in mail.parts["text"]


@pytest.mark.parametrize("visibility", ["customers", "accounts", "internal"])
def test_only_public_incidents_are_posted(visibility: str) -> None:
    told = {each.channel for each in composed(RICH, occasion(Kind.UPDATE, visibility=visibility))}
    assert told == {ChannelKind.EMAIL, ChannelKind.SMS, ChannelKind.BANNER}


def test_all_segments_together_make_one_public_post() -> None:
    renderings = compose(RICH, None, occasion(Kind.UPDATE), channels=EVERYWHERE, tag_prefix=PREFIX)
    posts = [each for each in renderings if each.channel is ChannelKind.SOCIAL]
    assert [(each.segment, each.slots) for each in posts] == [(None, ())]


def test_a_segment_without_words_of_its_own_reads_those_of_small_customers() -> None:
    own = composed(RICH, occasion(Kind.UPDATE), segment="resellers")
    smb = composed(RICH, occasion(Kind.UPDATE), segment="smb")
    assert [each.parts for each in own] == [each.parts for each in smb]
    assert {each.segment for each in own} == {"resellers", None}


def test_equal_input_gives_equal_hashes_and_any_change_another() -> None:
    def hashes(facts: Facts, case: Occasion) -> list[str]:
        return [each.hash for each in composed(facts, case)]

    case = occasion(Kind.UPDATE)
    assert hashes(RICH, case) == hashes(RICH, case)
    other = RICH.model_copy(update={"impact": "Something else."})
    assert not set(hashes(RICH, case)) & set(hashes(other, case))


def test_the_subject_stays_when_the_title_changes() -> None:
    facts = RICH.model_copy(update={"title": "Nobody can pay by card"})
    mail = one(facts, occasion(Kind.UPDATE), ChannelKind.EMAIL)
    assert mail.parts["subject"] == "[Acme Cloud] Some customers cannot pay by card (INC-42)"
    assert "Nobody can pay by card" in mail.parts["text"]


def test_the_all_clear_repeats_advice_only_when_it_is_new() -> None:
    case = occasion(Kind.RESOLVED, changed=frozenset({"impact"}))
    old = one(RICH, case, ChannelKind.EMAIL).parts["text"]
    new = one(RICH, replace(case, changed=frozenset({"workaround"})), ChannelKind.EMAIL)
    assert "Our earlier advice no longer applies." in old
    assert "Send invoice" not in old
    assert "Send invoice" in new.parts["text"]


def test_data_that_is_not_safe_is_said_right_after_the_impact_everywhere() -> None:
    danger = "Names of buyers were visible to other shops."
    unsafe = {"safe": False, "text": danger}
    facts = Facts.model_validate({**SPARSE.model_dump(mode="json"), "data_safe": unsafe})
    for rendering in composed(facts, occasion(Kind.UPDATE)):
        assert danger in "".join(rendering.parts.values()), rendering.channel


@pytest.mark.parametrize(
    ("facts", "case", "said"),
    [
        (Facts(), occasion(Kind.UPDATE), "title, impact, next_update_by"),
        (Facts(title="x"), occasion(Kind.RESOLVED), "without: impact"),
        (SPARSE, occasion(Kind.WORKAROUND), "without: workaround"),
        (SPARSE, occasion(Kind.UPDATE, incident_ref="x\r\nBcc: a@b.example"), "incident_ref: line"),
        (SPARSE, occasion(Kind.UPDATE, subject_title="x\u2028y"), "subject_title: line breaks"),
        (SPARSE, occasion(Kind.UPDATE, incident_url="http://a.example/"), "address cannot be"),
        (
            SPARSE.model_copy(update={"impact": f"see {PREFIX}"}),
            occasion(Kind.UPDATE),
            "draw another",
        ),
    ],
)
def test_what_cannot_be_composed_is_refused_with_the_reason(
    facts: Facts, case: Occasion, said: str
) -> None:
    with pytest.raises(TemplateError, match=said):
        composed(facts, case)


def test_an_unknown_locale_is_refused_by_name() -> None:
    with pytest.raises(TemplateError, match="no words in locale 'de'"):
        compose(
            SPARSE,
            None,
            occasion(Kind.UPDATE),
            channels=EVERYWHERE,
            locales=("en", "de"),
            tag_prefix=PREFIX,
        )


def test_the_kind_follows_from_what_became_known() -> None:
    assert [kind_of(None, CARDS["acknowledgement"].facts, resolved=False)] == [Kind.ACKNOWLEDGEMENT]
    steps = ["acknowledgement", "update", "heartbeat", "workaround"]
    kinds = [
        kind_of(CARDS[before].facts, CARDS[after].facts, resolved=False)
        for before, after in pairwise(steps)
    ]
    assert kinds == [Kind.UPDATE, Kind.UPDATE, Kind.WORKAROUND]
    assert kind_of(RICH, RICH, resolved=True) is Kind.RESOLVED


def test_both_parts_of_a_mail_are_filled_without_a_tag_left() -> None:
    mail = one(RICH, occasion(Kind.UPDATE), ChannelKind.EMAIL)
    values = Filler(mail.slots).values(replace(MARIA, account="Blue & Bottle"))
    filled = {part: fill(text, values) for part, text in mail.parts.items()}
    assert not any(PREFIX in text for text in filled.values())
    assert "Blue &amp; Bottle" in filled["html"]
    assert "Blue & Bottle" in filled["text"]


def test_a_mail_is_one_accessible_column() -> None:
    page = one(RICH, occasion(Kind.UPDATE), ChannelKind.EMAIL).parts["html"]
    reader = Reader(page)
    assert reader.tags.count("h1") == 1
    assert page.count("<table") == page.count('role="presentation"')
    assert '<html lang="en"' in page
    assert "max-width: 600px" in page
    assert "prefers-color-scheme: dark" in page
    assert not {"img", "script", "form", "iframe"} & set(reader.tags)
    assert page.index("charset") < 1024


def test_brand_colours_must_be_readable() -> None:
    with pytest.raises(ValueError, match=r"contrast of 4\.5"):
        Brand(accent="#ffcc00")
    with pytest.raises(ValueError, match=r"dark background"):
        Brand(accent_on_dark="#1d4ed8")


def test_an_operators_own_contact_lines_replace_ours() -> None:
    brand = Brand.model_validate({"contact": {"smb": ["Call <us> on +1 555 0101."]}})
    mail = one(RICH, occasion(Kind.UPDATE, brand=brand), ChannelKind.EMAIL)
    assert "Call <us> on +1 555 0101." in mail.parts["text"]
    assert "Call &lt;us&gt; on +1 555 0101." in mail.parts["html"]
    assert "A person will answer" not in mail.parts["text"]


def test_a_senders_endless_reference_is_shortened_not_refused() -> None:
    case = occasion(Kind.UPDATE, incident_ref="alertmanager:" + "x" * 200)
    for rendering in composed(RICH, case, segment="internal"):
        assert "x" * 41 not in "".join(rendering.parts.values())


def test_how_long_it_took_is_said_only_where_we_heard_of_it_before_its_end() -> None:
    """Nobody knows when it began of what is over with the first word of it."""
    step = CARDS["resolved"]
    said = ("less than a minute", "2 hours 35 minutes", "2 h 35 min", "Started", "lasted")
    for revision, known in ((5, True), (1, False)):
        case = replace(step.occasion, revision=revision)
        for segment in SEGMENTS:
            made = composed(step.facts, case, segment=segment)
            told = {item.channel: any(word in str(item.parts) for word in said) for item in made}
            assert told == dict.fromkeys(told, known), segment
