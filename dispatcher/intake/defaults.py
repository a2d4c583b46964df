"""What the operator says about a source: how severe, how public, for whom, and how far to trust it."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, IPvAnyNetwork, StringConstraints

from dispatcher.intake.words import SeverityName
from dispatcher.stages.accept import AudienceIn
from dispatcher.stages.accept.body import Name
from templates.facts import FactsPatch

_UNITS = {"min": 60, "h": 3600, "d": 86400}


def _written_out(value: object) -> object:
    """The library would take a number for a network: false would be all of them."""
    if isinstance(value, int):
        raise ValueError("must be a network such as 192.0.2.0/24")  # noqa: TRY004 - pydantic's way
    return value


Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Mode = Literal["draft", "auto"]
Visibility = Literal["public", "customers", "accounts", "internal"]
Severities = Annotated[dict[Word, SeverityName], Field(max_length=100)]
ComponentIds = Annotated[list[Name], Field(max_length=100)]
Components = Annotated[dict[Word, Name], Field(max_length=1000)]
Span = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,3}(min|h|d)$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$", to_lower=True)]
Networks = Annotated[
    list[Annotated[IPvAnyNetwork, BeforeValidator(_written_out)]], Field(max_length=100)
]


class Defaults(BaseModel):
    """Everything has a careful default: whatever comes becomes a draft.

    `mode` auto lets what a person wrote elsewhere go out at once, where no fact is missing; alerts stay
    drafts, unless `prepared` has words that a person wrote in advance. `severities` and `components`
    lead from the sender's words to ours; `component_ids` stand in where none of them fits.
    `trust_titles`: the sender's name of an incident may be shown to customers, although it was made for
    colleagues. `next_update_within` promises the next update where the sender names no time.
    `networks`: from where alone the source may speak. `silent_after`: a source that has said nothing for
    this long is told as a fault. `signature_header`, `timestamp_header`: where Grafana was told to use
    others; with the second, what has no time is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = "draft"
    severity: SeverityName = "P2"
    severities: Severities = {}
    visibility: Visibility = "customers"
    component_ids: ComponentIds = []
    components: Components = {}
    audience: AudienceIn | None = None
    prepared: FactsPatch | None = None
    trust_titles: bool = False
    next_update_within: Span | None = None
    networks: Networks = []
    silent_after: Span | None = None
    signature_header: HeaderName | None = None
    timestamp_header: HeaderName | None = None

    @property
    def promise(self) -> timedelta | None:
        """`next_update_within` as a span."""
        text = self.next_update_within
        if text is None:
            return None
        digits = text.rstrip("minhd")
        return timedelta(seconds=int(digits) * _UNITS[text[len(digits) :]])

    def stored(self) -> dict[str, Any]:
        """As the database keeps it: what was chosen, and nothing else."""
        return self.model_dump(mode="json", exclude_unset=True)
