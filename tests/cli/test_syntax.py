"""What people write, read as they meant it, or refused with the place."""

from typing import Any

import pytest

from dispatcher.cli.syntax import UnreadableError, parsed
from dispatcher.rules.problem import RefusedError
from dispatcher.stages.accept import UpdateIn
from dispatcher.web.reading import as_body

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(8)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("country: no", {"country": "no"}),
        ("at: 22:00\non: 2026-11-22", {"at": "22:00", "on": "2026-11-22"}),
        ("when: 2099-01-01T12:00:00Z", {"when": "2099-01-01T12:00:00Z"}),
        ("code: 0123", {"code": "0123"}),
        ("n: 3\nx: -1.5\nyes: true", {"n": 3, "x": -1.5, "yes": True}),
        ("none: null\nempty:", {"none": None, "empty": None}),
        ('{"a": [1, null, true]}', {"a": [1, None, True]}),
        ("{a: b, c: [d]}", {"a": "b", "c": ["d"]}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: b\r\nc: d\r\n", {"a": "b", "c": "d"}),
    ],
)
def test_what_is_written_is_what_is_read(text: str, value: object) -> None:
    assert parsed(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: b\nc: [", "line 2, column 5"),
        ('{"a": 1,\n "b" 2}', "not valid JSON: Expecting ':' delimiter, line 2, column 6"),
        ('{"a": 1} {"b": 2}', "line 1, column 10"),
        ("a: 1\na: 2", "'a' stands there twice, line 2, column 1"),
        ('{"a": 1, "a": 2}', "'a' twice"),
        ('{"a": NaN}', "NaN"),
        ("a: 1\n---\nb: 2", "several documents"),
        ("a: !!python/object:os.system x", "tag in line 1"),
        ("a: !!binary aGk=", "tag in line 1"),
        ("a: !!int many", "not what its tag says"),
        (BOMB, "once aliases are written out"),
        ("a: &a [*a]", "alias of what it stands in"),
        ("[" * 100_000, "nested deeper"),
        ('{"a":' * 100_000, "nested deeper"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        parsed(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def problems_of(body: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(RefusedError) as refused:
        as_body(body, UpdateIn)
    return {item.pointer: item.detail for item in refused.value.problems}


def test_an_unknown_field_comes_with_the_known_one_that_it_resembles() -> None:
    found = problems_of(
        {
            "sorce": "monitoring",
            "incident": {"external_id": 42, "component_idz": []},
            "status": "investigating",
            "facts": {"xyzzy": "", "workaround": {"step": []}},
        }
    )
    assert found["/sorce"] == "There is no such field; did you mean source?"
    assert found["/source"] == "Is missing."
    assert found["/incident/component_idz"] == "There is no such field; did you mean component_ids?"
    assert found["/incident/external_id"] == "Must be text: put it in quotes."
    assert "impact" in found["/facts/xyzzy"]
    assert found["/facts/workaround/step"] == "There is no such field; did you mean steps?"
