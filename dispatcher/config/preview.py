"""What looking ahead may take, and what a text costs by the operator's contract: an estimate, no bill."""

from decimal import Decimal
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
)

Price = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6)]
Prefix = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{0,6}$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class PreviewSettings(BaseModel):
    """Previews at once in a web process, and seconds for each statement of one.

    Others wait for their turn. What takes longer is left out, and the preview says so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    at_once: PositiveInt = 2
    statement_timeout_s: PositiveFloat = 10


class SmsPrices(BaseModel):
    """The price of one segment by how a number begins, such as `+49`; the longest beginning decides.

    `default` is for all other numbers; without it they have no known price, which is not the same as
    none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    currency: Currency = "USD"
    default: Price | None = None
    by_prefix: dict[Prefix, Price] = {}

    @property
    def is_set(self) -> bool:
        """Whether the price of any text is known."""
        return self.default is not None or bool(self.by_prefix)

    @property
    def longest_prefix(self) -> int:
        """How many characters of a number decide its price."""
        return max(map(len, self.by_prefix), default=0)

    def of(self, number: str) -> Decimal | None:
        """The price of a segment to a number, or to all that begin like that; None: not known."""
        for length in range(min(self.longest_prefix, len(number)), 0, -1):
            if number[:length] in self.by_prefix:
                return self.by_prefix[number[:length]]
        return self.default
