from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.rules import RulesError, load_rules, parse_rules, segment_of

SHIPPED = load_rules()

_HEAD = """\
[[segment]]
name = "gold"

[[segment]]
name = "rest"

"""
_REST = '[[rule]]\nname = "others"\nsegment = "rest"\n'


def one_rule(when: str) -> str:
    return f'{_HEAD}[[rule]]\nname = "first"\nsegment = "gold"\nwhen = {when}\n\n{_REST}'


@pytest.mark.parametrize(
    ("attributes", "segment", "rule"),
    [
        ({}, "smb", "everyone else"),
        ({"tier": "free", "seats": 499}, "smb", "everyone else"),
        ({"tier": "Enterprise "}, "enterprise", "enterprise contract"),
        ({"seats": 500}, "enterprise", "large by seats"),
        ({"seats": "500"}, "enterprise", "large by seats"),
        ({"seats": "many"}, "smb", "everyone else"),
        ({"seats": True}, "smb", "everyone else"),
        ({"kind": "staff", "tier": "enterprise"}, "internal", "our own people"),
    ],
)
def test_the_shipped_rules_name_the_segment_and_the_rule_that_decided(
    attributes: dict[str, str | int | float | bool], segment: str, rule: str
) -> None:
    decision = segment_of(attributes, SHIPPED)

    assert (decision.segment, decision.rule) == (segment, rule)


def test_only_our_own_people_are_told_of_every_incident() -> None:
    assert SHIPPED.segments == ("enterprise", "smb", "internal")
    assert SHIPPED.always_segments == ("internal",)


@given(
    st.dictionaries(
        st.sampled_from(["kind", "tier", "seats", "other"]),
        st.text() | st.integers() | st.floats() | st.booleans(),
    )
)
def test_whatever_the_attributes_one_declared_segment_comes_out(
    attributes: dict[str, str | int | float | bool],
) -> None:
    assert segment_of(attributes, SHIPPED).segment in SHIPPED.segments


@pytest.mark.parametrize(
    ("when", "attributes", "fits"),
    [
        ('{attribute = "a", equals = "x"}', {"a": " X"}, True),
        ('{attribute = "a", equals = "x"}', {"b": "x"}, False),
        ('{attribute = "a", equals = 5}', {"a": "5.0"}, True),
        ('{attribute = "a", equals = true}', {"a": "TRUE"}, True),
        ('{attribute = "a", equals = true}', {"a": 1}, False),
        ('{attribute = "a", in = ["x", 7]}', {"a": 7}, True),
        ('{attribute = "a", in = ["x", 7]}', {"a": "y"}, False),
        ('{attribute = "a", min = 2, max = 4}', {"a": 2}, True),
        ('{attribute = "a", min = 2, max = 4}', {"a": 4.5}, False),
        ('{attribute = "a", min = 2}', {"a": "nan"}, False),
        ('{attribute = "a", exists = true}', {"a": ""}, True),
        ('{attribute = "a", exists = true}', {}, False),
        ('{attribute = "a", exists = false}', {}, True),
        ('{attribute = "a", exists = false}', {"a": 1}, False),
        ('[{attribute = "a", min = 2}, {attribute = "b", equals = "x"}]', {"a": 3}, False),
        ('[{attribute = "a", min = 2}, {attribute = "b", equals = "x"}]', {"a": 3, "b": "x"}, True),
    ],
)
def test_a_condition_asks_what_its_words_say(
    when: str, attributes: dict[str, str | int | float | bool], *, fits: bool
) -> None:
    rules = parse_rules(one_rule(when), "rules.toml")

    assert segment_of(attributes, rules).segment == ("gold" if fits else "rest")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("segment = [", "rules.toml: "),
        (_HEAD, "rules.toml: rule: Field required"),
        (one_rule('{attribute = "a"}'), "rules.toml:7: rule.0.when"),
        (one_rule('{attribute = "a", min = 3, max = 2}'), "min is above max"),
        (one_rule('{attribute = "a", equal = 3}'), "rule.0.when"),
        (
            _HEAD + '[[rule]]\nname = "a"\nsegment = "golden"\n',
            "rules.toml:7: rule 'a' names segment 'golden'; declared are gold, rest.",
        ),
        (_HEAD + _REST + _REST, "rules.toml:7: rule 'others' has no `when`"),
        (
            one_rule('{attribute = "a", min = 1}').replace('"others"', '"first"'),
            "rules.toml:12: rule 'first' occurs twice",
        ),
        (
            _HEAD + _REST + 'when = {attribute = "a", min = 1}\n',
            "rules.toml:7: rule 'others' is the last and must take everyone else",
        ),
        (_HEAD.replace("rest", "gold") + _REST, "a segment is declared twice"),
    ],
)
def test_rules_that_cannot_work_are_refused_with_file_line_and_rule(
    text: str, complaint: str
) -> None:
    with pytest.raises(RulesError) as refused:
        parse_rules(text, "rules.toml")

    assert complaint in str(refused.value)


def test_a_rules_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"nowhere\.toml: cannot be read"):
        load_rules(tmp_path / "nowhere.toml")
