"""Whatever somebody sends: an answer of the closed set, or one of two refusals. Never anything else."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

import orjson
import pytest
import structlog

from dispatcher.config import ApiSettings, Settings
from dispatcher.context import Context
from dispatcher.intake.adapters import ADAPTERS
from dispatcher.intake.masks import LONGEST, masked_body
from dispatcher.intake.model import (
    DraftProposal,
    ForgedError,
    Ignored,
    Keys,
    Kind,
    MalformedError,
    Reading,
    Request,
    UpdateProposal,
)
from tests.intake.mutate import COUNT, DOOR_COUNT, headers, mutated
from tests.intake.payloads import of_every_kind
from tests.intake.senders import source
from tests.web.client import Api

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
SECRET = "0123456789abcdef0123456789abcdef"


def read(kind: Kind, request: Request) -> Reading | MalformedError:
    try:
        return ADAPTERS[kind].read(request)
    except MalformedError as error:
        return error


@pytest.mark.parametrize("kind", Kind)
def test_an_adapter_answers_any_body_with_a_proposal_or_a_pointer(kind: Kind) -> None:
    rng = Random(f"{kind} headers")
    seen = set()
    for raw in mutated(of_every_kind()[kind], kind):
        found = read(kind, Request(body=raw, headers=headers(rng, SECRET)))
        assert isinstance(found, MalformedError | UpdateProposal | DraftProposal | Ignored)
        if isinstance(found, MalformedError):
            assert re.fullmatch(r"(/.*)*|[a-z-]+", found.pointer, re.DOTALL)
            assert found.detail
        seen.add(type(found))
    # Or the bodies would all be so broken that nothing was tried.
    assert MalformedError in seen
    assert len(seen) > 1


@pytest.mark.parametrize("kind", Kind)
def test_an_adapter_takes_no_odd_header_for_a_proof(kind: Kind) -> None:
    rng = Random(f"{kind} proofs")
    keys = Keys((SECRET.encode(),), ())
    for _ in range(COUNT):
        request = Request(
            body=b"{}", headers=headers(rng, SECRET), path_secret=rng.choice(["", "\udcff"])
        )
        with pytest.raises(ForgedError):
            ADAPTERS[kind].verify(request, keys, now=NOW)


@pytest.mark.parametrize("kind", Kind)
def test_any_body_can_be_shown_and_what_is_shown_is_never_endless(kind: Kind) -> None:
    for raw in mutated(of_every_kind()[kind], f"{kind} masks", COUNT // 4):
        shown = masked_body(raw)
        assert len(shown) < 4 * LONGEST
        orjson.loads(shown)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 900 + b"]" * 900,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'"' + b"a" * 1_000_000 + b'"',
        orjson.dumps(["a" * 1000] * 1000),
        orjson.dumps({f"{number}" * 100: 1 for number in range(3000)}),
        b"a" * 1_000_000,
    ],
    ids=["deep lists", "deep objects", "one long word", "long list", "long names", "no JSON"],
)
def test_deep_and_huge_bodies_are_shown_in_part_and_at_once(raw: bytes) -> None:
    assert len(masked_body(raw)) < 2 * LONGEST


@pytest.fixture
def web_settings(web_settings: Settings) -> Settings:
    """As much as anybody likes may come."""
    return web_settings.model_copy(update={"api": ApiSettings(events_by_source=10**6)})


@pytest.fixture
def quiet() -> Iterator[None]:
    """Without a line for each request, of which there may be eighty thousand."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("people", "quiet")
@pytest.mark.timeout(60 + COUNT)  # ten thousand of each take minutes
async def test_no_body_is_a_fault_of_ours_whatever_the_source_may_do(
    api: Api, ctx: Context
) -> None:
    for kind in Kind:
        sender = await source(
            api,
            kind,
            mode="auto",
            component_ids=["checkout"],
            next_update_within="30min",
            trust_titles=True,
            prepared={"title": "Some payments fail", "impact": "Some payments fail."},
        )
        statuses: Counter[int] = Counter()
        for number, raw in enumerate(mutated(of_every_kind()[kind], f"{kind} door", DOOR_COUNT)):
            answer = await sender.send(raw, ctx.now(), f"msg_{number}")
            assert answer.status in {200, 202, 400, 422}, (kind, raw, answer.body)
            statuses[answer.status] += 1
        print(f"{kind}: {dict(sorted(statuses.items()))}")  # noqa: T201 - the figures of make fuzz-intake
        assert {202, 400} <= statuses.keys()
