"""What schemathesis cannot know from the description; loaded by its own process."""

from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext


@schemathesis.hook
def filter_case(_context: HookContext, case: Case[Any]) -> bool:
    """A cursor is opaque: only one that was given is good, which no schema can say."""
    meant_well = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    return not (meant_well and "cursor" in (case.query or {}))
