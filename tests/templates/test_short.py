import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.model import ChannelKind
from channels.sms_segments import segments
from channels.social_length import weighted_length
from templates.facts import Facts
from templates.render import Kind, TemplateError
from templates.slots import Filler, Person, fill
from tests.templates.samples import RICH, SPARSE, at, occasion, one

plain = st.text(
    st.characters(
        exclude_categories=["Cc", "Cs", "Zl", "Zp"],
        exclude_characters="\u202a\u202b\u202c\u202d\u202e\ufffe\uffff",
    ),
    min_size=1,
    max_size=300,
).filter(lambda text: bool(text.strip()))


@settings(max_examples=60, deadline=None)
@given(plain, plain, st.sampled_from(list(Kind)), st.sampled_from(["enterprise", "internal"]))
def test_a_text_never_needs_more_than_two_segments_and_keeps_its_link(
    title: str, impact: str, kind: Kind, segment: str
) -> None:
    facts = Facts.model_validate(
        {**RICH.model_dump(mode="json"), "title": title[:255], "impact": impact}
    )
    text = one(facts, occasion(kind), ChannelKind.SMS, segment)
    filled = fill(text.parts["text"], Filler(text.slots).values(Person(first_text=True)))
    assert segments(filled).count == text.segments_worst
    assert segments(filled).count <= 2
    assert "https://status.example.com/i/42" in filled
    assert filled.endswith(" Reply STOP to opt out")


@settings(max_examples=60, deadline=None)
@given(plain, plain, st.sampled_from(list(Kind)))
def test_a_post_never_exceeds_280_and_keeps_its_link(title: str, impact: str, kind: Kind) -> None:
    facts = Facts.model_validate(
        {**RICH.model_dump(mode="json"), "title": title[:255], "impact": impact}
    )
    post = one(facts, occasion(kind), ChannelKind.SOCIAL)
    assert weighted_length(post.parts["text"]) == post.weighted_length
    assert weighted_length(post.parts["text"]) <= 280
    assert post.parts["text"].endswith("https://status.example.com/i/42")


def test_a_long_impact_is_cut_between_words_and_only_where_it_must_be() -> None:
    words = " ".join(f"word{number}" for number in range(100))
    facts = SPARSE.model_copy(update={"title": words[:255], "impact": words})
    text = one(facts, occasion(Kind.UPDATE), ChannelKind.SMS).parts["text"]
    kept = text.removeprefix("Acme: ").partition("...")[0]
    assert words.startswith(f"{kept} ")
    assert len(kept) > 150


def test_an_impact_in_a_costly_alphabet_leaves_the_link_to_tell_it() -> None:
    address = "https://status.example.com/i/" + "0199f0c2aa" * 5
    facts = SPARSE.model_copy(update={"title": "結帳" * 60, "impact": "結帳" * 60})
    text = one(facts, occasion(Kind.UPDATE, incident_url=address), ChannelKind.SMS)
    assert text.parts["text"].startswith("Acme: news about INC-42. Next update by 09:05 UTC")
    assert address in text.parts["text"]


def test_the_first_sentence_is_preferred_to_a_second_segment() -> None:
    facts = SPARSE.model_copy(
        update={"impact": "Reports fail to open. " + "This has many consequences. " * 5}
    )
    text = one(facts, occasion(Kind.UPDATE), ChannelKind.SMS)
    assert text.parts["text"].startswith("Acme: Reports fail to open. Next update")
    assert text.segments_worst == 1


def test_typography_does_not_make_a_text_cost_more() -> None:
    facts = SPARSE.model_copy(
        update={"impact": "Reports \u201chang\u201d \u2013 it\u2019s slow\u2026"}
    )
    text = one(facts, occasion(Kind.UPDATE), ChannelKind.SMS)
    assert 'Reports "hang" - it\'s slow...' in text.parts["text"]
    assert segments(text.parts["text"]).encoding == "GSM-7"


def test_a_text_that_cannot_fit_says_what_to_shorten() -> None:
    case = occasion(Kind.UPDATE, incident_url="https://status.example.com/" + "x" * 300)
    with pytest.raises(TemplateError, match=r"sms/smb\.j2: too long.*address"):
        one(SPARSE, case, ChannelKind.SMS)


def test_two_posts_of_an_incident_are_never_the_same() -> None:
    posts = {
        one(
            SPARSE, occasion(Kind.UPDATE, revision=revision, at=at(minutes)), ChannelKind.SOCIAL
        ).parts["text"]
        for revision, minutes in ((2, 10), (3, 10), (3, 11))
    }
    assert len(posts) == 3
