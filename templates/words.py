"""The words files: loading, printing, and errors that name the file and what is wrong in it."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateNotFound,
    select_autoescape,
)
from jinja2 import TemplateError as JinjaError

from templates.outline import as_value
from templates.phrases import closed
from templates.slots import KNOWN_SLOTS, Charset, Slot, place

SEGMENTS = ("enterprise", "smb", "internal")
FALLBACK_SEGMENT = "smb"  # operators' own segments read the plain customer's voice

FOLDER = Path(__file__).parent


class TemplateError(Exception):
    """A message cannot be made. The text says which file or fact is at fault and what to do."""


class SlotTags:
    """`slot` inside a template: `{{ slot.name }}` prints the tag of that slot in this part."""

    def __init__(
        self,
        part: str,
        prefix: str,
        *,
        charset: Charset = Charset.ANY,
        arguments: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._part, self._prefix = part, prefix
        self._charset, self._arguments = charset, arguments
        self._used: dict[str, Slot] = {}

    def __getitem__(self, name: str) -> str:
        if name not in KNOWN_SLOTS:
            raise TemplateError(
                f"unknown slot '{name}'; known are {', '.join(sorted(KNOWN_SLOTS))}"
            )
        if name not in self._used:
            argument = self._arguments.get(name, "")
            self._used[name] = place(name, self._part, self._prefix, self._charset, argument)
        return self._used[name].tag

    @property
    def used_slots(self) -> tuple[Slot, ...]:
        """The slots printed so far, in the order of their first use."""
        return tuple(self._used.values())


def _guarded(value: object) -> object:
    if value is None:
        raise TemplateError("an expression has no value here; guard it with {% if %}")
    return as_value(value)


def environment_of(folder: Path, *, words: bool) -> Environment:
    """The environment that prints the words files in `folder`, or their layouts."""
    # Words are printed as plain text and escaped once, by the layout of the part they stand in.
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        finalize=_guarded if words else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters["closed"] = closed
    return environment


_WORDS = environment_of(FOLDER, words=True)
_LAYOUTS = environment_of(FOLDER, words=False)


def voice(segment: str) -> str:
    """Whose words `segment` reads: its own, or the small customer's."""
    return segment if segment in SEGMENTS else FALLBACK_SEGMENT


def print_words(file: str, context: Mapping[str, object]) -> str:
    """A words file with guarded values, ready for `read_outline` or `as_line`."""
    return _print(_WORDS, file, context)


def print_layout(file: str, context: Mapping[str, object]) -> str:
    """A layout file; values in `.html.j2` are escaped."""
    return _print(_LAYOUTS, file, context)


def _print(environment: Environment, file: str, context: Mapping[str, object]) -> str:
    try:
        return environment.get_template(file).render(context)
    except TemplateNotFound as error:
        raise TemplateError(f"template {error.name} is missing") from error
    except (JinjaError, TemplateError) as error:
        raise TemplateError(f"template {file}: {error}") from error
