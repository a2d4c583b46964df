"""Whatever happens to an incident, in whatever order: the rules of dispatch state and evidence hold.

`TIDINGS_EXAMPLES=500` looks longer; what fails is printed as a program that repeats it.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from channels.model import Fact
from dispatcher.app import running
from dispatcher.config import Settings
from dispatcher.sandbox import SandboxSettings, start
from dispatcher.senders import sync_senders
from tests.flow.conftest import product_settings_for
from tests.flow.story import MovableClock
from tests.races.world import WINDOW, World

EXAMPLES = int(os.environ.get("TIDINGS_EXAMPLES", "12"))
STEPS = 25

places = st.integers(0, 20)
severities = st.sampled_from(["P0", "P1", "P2"])
faults = st.sampled_from(
    [
        None,
        None,
        {"kind": "accept_then_reset"},
        {"kind": "reset_before_accept"},
        {"kind": "status", "status": 503},
        {"kind": "rate_limit", "retry_after": 1},
        {"kind": "rate_limit"},
        {"kind": "half_accept", "accept": 1},
        {"kind": "truncated_body"},
        {"kind": "accept_then_html"},
    ]
)
facts = st.sampled_from(
    [Fact.QUEUED, Fact.SENT, Fact.DELIVERED, Fact.DEFERRED, Fact.UNDELIVERED, Fact.BOUNCED_HARD]
)


async def open_world(stack: AsyncExitStack, settings: Settings) -> World:
    quiet = SandboxSettings(port=0, latency=0, latency_jitter=0, deferred=0, bounced=0)
    sandbox = await start(quiet)
    stack.push_async_callback(sandbox.stop)
    clock = MovableClock(datetime.now(UTC).replace(microsecond=0))
    ctx = await stack.enter_async_context(running(product_settings_for(settings, sandbox), clock))
    async with ctx.pool.acquire() as conn:
        await sync_senders(conn, ctx, now=ctx.now(), decide=True)
    return World(ctx=ctx, clock=clock, sandbox=sandbox)


class Incident(RuleBasedStateMachine):
    """`first`: what all incidents share; `runner`: the loop they live in."""

    first: ClassVar[World]
    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(ctx=self.first.ctx, clock=self.first.clock, sandbox=self.first.sandbox)
        self.runner.run(self.world.begin())

    def do(self, step: Any) -> None:
        self.runner.run(step)

    @precondition(lambda self: len(self.world.updates) < 3)
    @rule(severity=severities)
    def announce(self, severity: str) -> None:
        self.do(self.world.announce(severity, over=False))

    @precondition(lambda self: self.world.updates and not self.world.ended)
    @rule(severity=severities)
    def resolve(self, severity: str) -> None:
        self.do(self.world.announce(severity, over=True))

    @precondition(lambda self: self.world.updates)
    @rule(what=st.sampled_from(["cancel", "pause", "resume"]), place=places)
    def order(self, what: str, place: int) -> None:
        self.do(self.world.order(what, self.world.updates[place % len(self.world.updates)]))

    @rule(place=places)
    def opt_out(self, place: int) -> None:
        self.do(self.world.opt_out(place))

    @rule()
    def release(self) -> None:
        self.do(self.world.release())

    @rule(place=places, fault=faults)
    def send(self, place: int, fault: dict[str, Any] | None) -> None:
        self.do(self.world.release())
        self.do(self.world.send(place, fault))

    @rule(place=places, left=st.sampled_from([None, 0, 1, 2, 3]))
    def die(self, place: int, left: int | None) -> None:
        self.do(self.world.release())
        self.do(self.world.die(place, left))

    @rule(place=places, answer=st.sampled_from(["deferred", "unclear"]))
    def wake(self, place: int, answer: str) -> None:
        self.do(self.world.wake(place, answer))

    @rule()
    def sweep(self) -> None:
        self.do(self.world.sweep())

    @rule()
    def reconcile(self) -> None:
        self.do(self.world.reconcile())

    @rule(place=places, fact=facts, copies=st.sampled_from([1, 1, 46]))
    def hear(self, place: int, fact: Fact, copies: int) -> None:
        self.do(self.world.hear(place, fact, copies))

    @rule(fact=facts)
    def hear_of_nobody(self, fact: Fact) -> None:
        self.do(self.world.hear_of_nobody(fact))

    @rule()
    def apply(self) -> None:
        self.do(self.world.apply())

    @rule(span=st.sampled_from([WINDOW, timedelta(seconds=30), timedelta(minutes=5)]))
    def wait(self, span: timedelta) -> None:
        self.world.clock.move(span)

    @invariant()
    def promises_hold(self) -> None:
        self.do(self.world.check())

    def teardown(self) -> None:
        self.do(self.world.come_to_an_end())


@pytest.mark.timeout(60 + 10 * EXAMPLES)
def test_the_rules_of_state_and_evidence_hold_whatever_happens(settings: Settings) -> None:
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        Incident.runner, Incident.first = runner, runner.run(open_world(stack, settings))
        try:
            run_state_machine_as_test(
                Incident,
                settings=hypothesis_settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    print_blob=True,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(stack.aclose())
