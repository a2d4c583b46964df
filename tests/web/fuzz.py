"""Values of hypothesis for tests that talk to a server between one value and the next."""

from typing import TypeVar

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

T = TypeVar("T")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["2030-01-01T00:00:00Z", "checkout", "P1", "resolved", "\u0000", "a@b.example"]
    )
)


def examples(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """`count` values, the same in every run."""
    found: list[T] = []

    @settings(max_examples=count, database=None, derandomize=True, phases=[Phase.generate])
    @given(strategy)
    def collect(value: T) -> None:
        found.append(value)

    collect()
    return found


def shaped_like(model_fields: list[str]) -> st.SearchStrategy[dict[str, object]]:
    """Objects that use the fields of a model, with values of any shape."""
    inner = st.recursive(
        SCALARS,
        lambda below: (
            st.lists(below, max_size=3)
            | st.dictionaries(
                st.sampled_from(model_fields) | st.text(max_size=5), below, max_size=4
            )
        ),
        max_leaves=8,
    )
    return st.dictionaries(st.sampled_from(model_fields), inner, max_size=len(model_fields))
