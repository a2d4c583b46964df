"""What sources look like at the API."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dispatcher.intake.defaults import (
    ComponentIds,
    Components,
    Defaults,
    HeaderName,
    Mode,
    Networks,
    Severities,
    Span,
    Visibility,
)
from dispatcher.intake.model import Kind
from dispatcher.intake.sources import LastError
from dispatcher.intake.words import SeverityName
from dispatcher.stages.accept import AudienceIn
from dispatcher.stages.accept.body import Name
from dispatcher.web.lists import Page
from dispatcher.web.models import UpdateAccepted
from templates.facts import FactsPatch

Secret = Annotated[str, StringConstraints(max_length=500)]
Hours = Annotated[int, Field(ge=0, le=24 * 30)]


class SourceIn(Defaults):
    """A source to be made. Without `secret` one is made; some senders insist on their own."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Kind
    name: Name
    secret: Secret | None = None

    @property
    def defaults(self) -> Defaults:
        """What the operator chose, without the rest."""
        chosen = self.model_dump(
            mode="json", exclude_unset=True, exclude={"kind", "name", "secret"}
        )
        return Defaults.model_validate(chosen)


class SourcePatch(BaseModel):
    """What is to change. null brings a default back; kind and name stay."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    disabled: bool | None = None
    mode: Mode | None = None
    severity: SeverityName | None = None
    severities: Severities | None = None
    visibility: Visibility | None = None
    component_ids: ComponentIds | None = None
    components: Components | None = None
    audience: AudienceIn | None = None
    prepared: FactsPatch | None = None
    trust_titles: bool | None = None
    next_update_within: Span | None = None
    networks: Networks | None = None
    silent_after: Span | None = None
    signature_header: HeaderName | None = None
    timestamp_header: HeaderName | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The defaults that were given; None for those that go back."""
        return self.model_dump(mode="json", exclude_unset=True, exclude={"disabled"})


class RotateIn(BaseModel):
    """A new secret: the sender's own, or one that is made. The old one lives for `overlap_hours`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    secret: Secret | None = None
    overlap_hours: Hours = 24


class SourceView(Defaults):
    """A source as it is; never its secret. `url` is what the sender is given.

    `last_event_at`: when its sender last spoke and proved to be it. `last_error`: of the last seven days.
    """

    BY_ITSELF: ClassVar = frozenset({"last_event_at", "last_error"})

    id: str
    kind: Kind
    name: str
    url: str
    disabled: bool
    created_at: datetime
    last_event_at: datetime | None = None
    last_error: LastError | None = None


class SourceWithSecret(SourceView):
    """A source and its secret, this once. Where the secret is a part of `url`, it is in there already."""

    secret: str


class SourcePage(Page[SourceView]):
    """Sources, in the order in which they were made."""


class IntakeTaken(UpdateAccepted):
    """What an event became: an update on its way, a draft, or more in a draft there was."""

    event_id: str
    became: Literal["update", "draft", "extended"]


class IntakeIgnored(BaseModel):
    """A true event that we have no use for, and why."""

    event_id: str
    ignored: str


class EventView(BaseModel):
    """One event of a source. `payload` is masked; `became` is null where it became nothing."""

    id: str
    at: datetime
    outcome: str
    detail: str
    became: str | None
    incident_id: str | None
    update_id: str | None
    replay_of: str | None
    payload: Any


class EventPage(Page[EventView]):
    """Events, newest first: a hundred of them, or those of a week."""


class ReplayIn(BaseModel):
    """`force`: process it as if it had never been there, even where it became something already."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    force: bool = False
