"""YAML or JSON, told apart by what stands there; mistakes come with their line and column.

YAML is read as its version 1.2 has it: `no`, `22:00` and dates are text, as they were written.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

_MOST_VALUES: Final = 100_000
"""Far above the largest audience the API takes, and far below what aliases of aliases grow to."""
_NEVER_FOLDED: Final = 1_000_000
_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")
)


class UnreadableError(ValueError):
    """Goes on after the name of the file: what is wrong, and where."""


def parsed(text: str) -> Any:
    """The one value in `text`. Raises UnreadableError."""
    try:
        return _json(text) if _is_json(text) else _yaml(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UnreadableError(f"is not valid JSON: {error.msg}, {where}") from None
    except yaml.YAMLError as error:
        raise UnreadableError(_fault(error)) from None
    except UnreadableError:
        raise
    except (ValueError, LookupError):
        raise UnreadableError("has a value that is not what its tag says") from None
    except RecursionError:
        raise UnreadableError("is nested deeper than anything that is taken") from None


def line_of(text: str, pointer: str) -> int | None:
    """The line of `text` where a JSON pointer leads to, counted from 1; None where nothing is there.

    `text` is one that `parsed` has read.
    """
    try:
        node = yaml.compose(text, _Loader)
    except yaml.YAMLError:  # of JSON, what YAML does not have: tabs between values
        return None
    line = None
    for part in pointer.split("/")[1:]:
        found = _at(node, part.replace("~1", "/").replace("~0", "~"))
        if found is None:
            return None
        line, node = found
    return line


def _at(node: Any, part: str) -> tuple[int, Any] | None:
    """The line and the value of this name, or of this number, in a node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        value = node.value[int(part)]
        return value.start_mark.line + 1, value
    return None


def _is_json(text: str) -> bool:
    """YAML has braces and brackets too, but few put quotes around names there."""
    return re.match(r'\s*(?:\{\s*["}]|\[\s*["{\[\]])', text) is not None


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)


def _yaml(text: str) -> Any:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _check(root)
        return loader.construct_document(root)
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2, and no name twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the attribute is PyYAML's

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key.value, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands there twice", key.start_mark
                )
            seen.add(key.value if isinstance(key.value, str) else id(key))
        return super().construct_mapping(node, deep)


for _tag, _shape, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_shape})$"), _first
    )


class _Dumper(yaml.SafeDumper):
    """What it writes without quotes, the loader reads as text."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

    def text(self, value: str) -> yaml.ScalarNode:
        """Several lines as lines."""
        style = "|" if "\n" in value else None
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _Dumper.text)


def as_yaml(value: Any) -> str:
    """JSON values as YAML that `parsed` reads as the same, in their order."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_NEVER_FOLDED
    )


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UnreadableError(f"has {name!r} twice in one object")
        found[name] = value
    return found


def _no_number(word: str) -> Any:
    raise UnreadableError(f"has {word}, which is no number in JSON")


def _check(root: yaml.Node) -> None:
    """Raises UnreadableError where aliases make it large, or lead back to where they stand; and for tags."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                raise UnreadableError("has an alias of what it stands in")
            return known
        if node.tag not in _TAGS:
            raise UnreadableError(
                f"has a tag in line {node.start_mark.line + 1}; write plain values"
            )
        sizes[id(node)] = None
        total = 1 + sum(size(inner) for inner in _inside(node))
        if total > _MOST_VALUES:
            raise UnreadableError(
                f"has more than {_MOST_VALUES} values, once aliases are written out"
            )
        sizes[id(node)] = total
        return total

    size(root)


def _inside(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (key, value)


def _fault(error: yaml.YAMLError) -> str:
    """What PyYAML says in six lines, in one."""
    if isinstance(error, yaml.composer.ComposerError) and "single document" in str(error.context):
        return "has several documents; give one at a time"
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    return f"is not valid YAML: {what}{where}"
