"""Proposals into updates and drafts, by the one way in there is: the stage accept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg

from dispatcher import pipeline
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.intake.groups import incident_of_group, plain_id
from dispatcher.intake.masks import without_people
from dispatcher.intake.model import ENDED, Alert, DraftProposal, Ignored, UpdateProposal
from dispatcher.intake.shapes import line, lines, plain
from dispatcher.intake.sources import Source
from dispatcher.intake.standing import Standing, standing
from dispatcher.intake.words import name_of, severity_of
from dispatcher.rules.policy import Severity
from dispatcher.rules.problem import RefusedError
from dispatcher.stages.accept import (
    AcceptedUpdate,
    Extension,
    Hand,
    IncidentIn,
    Status,
    UpdateIn,
    extend_draft,
    withdraw_draft,
)
from templates.facts import FactsPatch

NOTE: Final = 6000
NEVER_TOLD: Final = (
    "All of it has ended, and nobody was told. To tell of it after all, set the status to resolved; "
    "else discard this draft."
)
DISCARDED: Final = "a person discarded the draft of this incident"
NOT_BY_ITSELF: Final = "Nothing was sent by itself: a person should look first."
_TITLE: Final = 255
_IMPACT: Final = 1000

KNOWN_COMPONENTS_SQL = """
select external_id from component where external_id = any($1::text[]) and removed_at is null
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of a proposal: `became` is update, draft or extended."""

    became: Literal["update", "draft", "extended"]
    accepted: AcceptedUpdate


@dataclass(frozen=True, slots=True)
class Proposer:
    """Puts what one source says into effect, in the caller's transaction."""

    conn: Connection
    ctx: Context
    source: Source
    now: datetime

    @property
    def actor(self) -> str:
        """As updates and the audit log name a source."""
        return f"source:{self.ctx.signer.public_id('src', self.source.id)}"

    @property
    def hand(self) -> Hand:
        """Who changes drafts here."""
        return Hand(actor=self.actor, at=self.now)

    async def update(self, proposal: UpdateProposal) -> Made:
        """A person's words: an update where the source's policy and the facts allow it, else a draft.

        Raises RefusedError only where not even a draft can be made of it.
        """
        incident = await self._incident(plain_id(proposal.incident_key))
        chosen = self.source.defaults
        status = proposal.status or incident.status
        facts = self._facts_of(proposal, incident, ended=status in ENDED)
        # What does not fit the facts is not lost: a person finds it in the note.
        shown = proposal.text if facts.impact is None or proposal.facts.impact is not None else ""
        body = await self._body(
            incident,
            proposal,
            status=status,
            facts=facts,
            note=lines(
                [
                    f"From {self.source.name}",
                    proposal.internal_title and f"Called there: {line(proposal.internal_title)}",
                    proposal.link and f"See: {line(proposal.link, 500)}",
                    shown and plain(shown, NOTE),
                ]
            ),
        )
        return await self._take_in(body, auto=chosen.mode == "auto")

    async def draft(
        self, proposal: DraftProposal, fresh: Sequence[Alert], why: str
    ) -> Made | Ignored:
        """A machine's words: one draft per incident, to which `fresh` alerts are added.

        `why` they count although something speaks against it, '' where nothing does.
        """
        key = proposal.incident_key
        external_id = plain_id(key)
        if proposal.recurring:
            external_id = await incident_of_group(
                self.conn,
                self.source.id,
                self.source.name,
                key,
                begins=any(alert.firing for alert in fresh),
                ended=proposal.ended,
                now=self.now,
            )
        incident = await self._incident(external_id)
        if proposal.ended and incident.told and incident.is_over:
            return Ignored("the incident is over already")
        resolutions = [row for row in incident.drafts if row["status"] in ENDED]
        openings = [row for row in incident.drafts if row["status"] not in ENDED]
        note = lines([_note(proposal, fresh), why])
        if proposal.ended:
            return await self._end(incident, proposal, note, openings, resolutions)
        for row in resolutions:
            await withdraw_draft(self.conn, row["id"], "It fires again", self.hand)
        made = await self._extend_one(incident, openings, proposal, note)
        if made is not None:
            return made
        if not any(alert.firing for alert in fresh):
            return Ignored("some alerts of the group have ended, and it still fires")
        if incident.is_refused(severity_of(proposal.severity, self.source.defaults.severities)):
            return Ignored(DISCARDED)
        return await self._new_draft(incident, proposal, note, doubted=bool(why))

    async def _end(
        self,
        incident: Standing,
        proposal: DraftProposal,
        note: str,
        openings: Sequence[asyncpg.Record],
        resolutions: Sequence[asyncpg.Record],
    ) -> Made | Ignored:
        """Propose to tell of the end. Where nobody was told of trouble there is nothing to take back."""
        made = await self._extend_one(incident, resolutions, proposal, note)
        if made is not None:
            return made
        # What we never heard of may be known to customers all the same.
        if incident.told or incident.id is None:
            return await self._new_draft(incident, proposal, note)
        for row in openings:
            if not row["has_words"]:
                await withdraw_draft(
                    self.conn, row["id"], "It ended before anybody was told", self.hand
                )
        written = [row for row in openings if row["has_words"]]
        made = await self._extend_one(incident, written, proposal, lines([note, NEVER_TOLD]))
        return made or Ignored("nobody was told of it, so there is nothing to take back")

    async def _extend_one(
        self,
        incident: Standing,
        drafts: Sequence[asyncpg.Record],
        proposal: DraftProposal,
        note: str,
    ) -> Made | None:
        """Add to the newest of these drafts that is still one."""
        for row in drafts:
            made = await self._extend(incident, row, proposal, note)
            if made is not None:
                return made
        return None

    async def _extend(
        self, incident: Standing, row: asyncpg.Record, proposal: DraftProposal, note: str
    ) -> Made | None:
        severity = self._severity(proposal.severity, incident)
        components = await self._components(proposal.components)
        more = Extension(note, severity, components)
        if incident.id is None or not await extend_draft(self.conn, row["id"], more, self.hand):
            return None
        accepted = AcceptedUpdate(incident.id, row["id"], None, "draft", (), row["visibility"])
        return Made(became="extended", accepted=accepted)

    async def _new_draft(
        self, incident: Standing, proposal: DraftProposal, note: str, *, doubted: bool = False
    ) -> Made:
        chosen = self.source.defaults
        opens = not proposal.ended and not incident.told
        going_on: Status = "investigating" if incident.is_over else incident.status
        facts = chosen.prepared if chosen.prepared and opens else FactsPatch()
        auto = chosen.mode == "auto" and chosen.prepared is not None and opens
        if auto:
            facts = self._promising(facts)
        if auto and doubted:
            auto, note = False, lines([note, NOT_BY_ITSELF])
        body = await self._body(
            incident,
            proposal,
            status="resolved" if proposal.ended else going_on,
            facts=facts,
            note=note,
        )
        return await self._take_in(body, auto=auto)

    async def _incident(self, external_id: str) -> Standing:
        return await standing(
            self.conn, self.source.name, external_id, actor=self.actor, now=self.now
        )

    async def _body(
        self,
        incident: Standing,
        proposal: UpdateProposal | DraftProposal,
        *,
        status: Status,
        facts: FactsPatch,
        note: str,
    ) -> UpdateIn:
        """What the source says holds for its first word; afterwards a person may have changed it."""
        chosen = self.source.defaults
        if incident.overdue and "next_update_by" not in facts.model_fields_set:
            # What is left out would stay as it was, and nobody promises a time that has passed.
            facts = facts.model_copy(update={"next_update_by": None})
        components = await self._components(proposal.components) or (
            [] if incident.told else await self._known(chosen.component_ids)
        )
        return UpdateIn(
            source=self.source.name,
            incident=IncidentIn(
                external_id=incident.external_id,
                severity=name_of(self._severity(proposal.severity, incident)),
                visibility=None if incident.told else chosen.visibility,
                component_ids=components or None,
            ),
            status=status,
            facts=facts,
            note=note,
            audience=None if incident.told else chosen.audience,
            mode="draft",
        )

    async def _take_in(self, body: UpdateIn, *, auto: bool) -> Made:
        why = ""
        if auto:
            try:
                async with self.conn.transaction():
                    return await self._accept(body.model_copy(update={"mode": "auto"}))
            except RefusedError as refused:
                details = [f"{item.pointer}: {item.detail}" for item in refused.problems]
                why = lines(["It could not be sent as it came:", refused.title, *details])
        note = lines([body.note, why])
        return await self._accept(body.model_copy(update={"note": plain(note, NOTE * 3 // 2)}))

    async def _accept(self, body: UpdateIn) -> Made:
        accepted = await pipeline.take_in(self.conn, self.ctx, body, actor=self.actor, now=self.now)
        sent = accepted.dispatch_id is not None
        return Made(became="update" if sent else "draft", accepted=accepted)

    def _severity(self, word: str, incident: Standing) -> Severity:
        chosen = self.source.defaults
        found = severity_of(word, chosen.severities)
        if found is not None:
            return Severity[found]
        return incident.severity if incident.severity is not None else Severity[chosen.severity]

    async def _components(self, words: Sequence[str]) -> list[str]:
        """Ours for the sender's words, where there are any; a word of ours means itself."""
        by_word = self.source.defaults.components
        return await self._known([by_word.get(word.strip(), word) for word in words])

    async def _known(self, names: Sequence[str]) -> list[str]:
        wanted = [name for name in dict.fromkeys(names) if "\x00" not in name]
        rows = await self.conn.fetch(KNOWN_COMPONENTS_SQL, wanted) if wanted else []
        known = {row["external_id"] for row in rows}
        return [name for name in wanted if name in known]

    def _facts_of(self, proposal: UpdateProposal, incident: Standing, *, ended: bool) -> FactsPatch:
        """The sender's facts; what they leave out is taken from its words, then from what is prepared."""
        chosen = self.source.defaults
        first = chosen.prepared if chosen.prepared and not incident.told else FactsPatch()
        title = proposal.title or (proposal.internal_title if chosen.trust_titles else "")
        whole = plain(proposal.text, len(proposal.text) + 1)
        words: dict[str, Any] = {
            "title": line(title, _TITLE) or None,
            # A person's words go out whole or not at all.
            "impact": whole if 0 < len(whole) <= _IMPACT else None,
        }
        promise = proposal.next_update_by
        if promise is not None and promise > self.now and not ended:
            words["next_update_by"] = promise
        given = {name: value for name, value in words.items() if value is not None}
        if len(whole) > _IMPACT:
            # Nor does what was said before, or prepared, go out in their place.
            given["impact"] = None
        merged = {**_set_in(first), **given, **_set_in(proposal.facts)}
        by = merged.get("next_update_by")
        if by is not None and by <= self.now:
            del merged["next_update_by"]
        facts = FactsPatch.model_construct(_fields_set=set(merged), **merged)
        return facts if ended or chosen.mode == "draft" else self._promising(facts)

    def _promising(self, facts: FactsPatch) -> FactsPatch:
        """With the promise that the operator lets the source make, where nobody made another."""
        span = self.source.defaults.promise
        if span is None or facts.next_update_by is not None:
            return facts
        return facts.model_copy(update={"next_update_by": self.now + span})


def _set_in(facts: FactsPatch) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in facts.model_fields_set}


def _note(proposal: DraftProposal, fresh: Sequence[Alert]) -> str:
    """For colleagues only, and without people's addresses: it is read more widely than the alert."""
    told: list[str] = [proposal.heading]
    room = NOTE // 2
    for number, alert in enumerate(fresh):
        if room < 0:
            told.append(f"… and {len(fresh) - number} more")
            break
        told.append(f"– {alert.text}")
        room -= len(alert.text)
    told.append(f"See: {line(proposal.link, 500)}" if proposal.link else "")
    return without_people(plain(lines(told), NOTE))
