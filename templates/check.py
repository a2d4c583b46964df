"""Reading all words files at start: an unknown name is found before an incident, not during one."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path

from jinja2 import Environment, TemplateSyntaxError, meta, nodes

from templates.brand import Brand
from templates.facts import Facts, Internal
from templates.phrases import Phrases
from templates.slots import KNOWN_SLOTS
from templates.words import FOLDER, TemplateError, environment_of

# What a words file may name; where the value has parts, the names of these.
_NAMES: Mapping[str, frozenset[str] | None] = {
    "facts": frozenset(Facts.model_fields),
    "said": frozenset(each.name for each in fields(Phrases)),
    "internal": frozenset(Internal.model_fields),
    "brand": frozenset(Brand.model_fields),
    "slot": frozenset(KNOWN_SLOTS),
    **dict.fromkeys(
        ("kind", "changed", "status", "severity", "revision", "incident_ref", "incident_url")
    ),
    **dict.fromkeys(("segment", "short", "extra", "outline", "locale", "subject")),
}
_ONLY_INTERNAL = "internal"


def check_templates(folder: Path = FOLDER) -> None:
    """Parse every `.j2` file below `folder`; TemplateError lists each unknown name and its line."""
    faults = [
        f"{file.relative_to(folder)}: {fault}"
        for file in sorted(folder.rglob("*.j2"))
        for fault in _faults(folder, file.name, file.read_text(encoding="utf-8"))
    ]
    if faults:
        raise TemplateError("; ".join(faults))


# A process that starts many installations, as tests do, reads all files each time and parses none twice.
@cache
def _faults(folder: Path, name: str, text: str) -> tuple[str, ...]:
    return tuple(_judged(environment_of(folder, words=True), name, text))


def _judged(environment: Environment, name: str, text: str) -> Iterator[str]:
    try:
        tree = environment.parse(text)
        undeclared = meta.find_undeclared_variables(tree)
    except TemplateSyntaxError as error:
        yield f"line {error.lineno}: {error.message}"
        return
    names = set(_NAMES) - ({_ONLY_INTERNAL} if name != "internal.j2" else set())
    for unknown in sorted(undeclared - names):
        yield f"'{unknown}' is not a name that may be used here"
    for node in tree.find_all(nodes.Getattr):
        if not isinstance(node.node, nodes.Name):
            continue
        known = _NAMES.get(node.node.name)
        if known is not None and node.attr not in known:
            yield f"line {node.lineno}: '{node.node.name}.{node.attr}' does not exist"
