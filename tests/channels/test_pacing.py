"""No window is ever exceeded, little is wasted, nobody starves, and time never runs backwards."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import cycle
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.pacing import (
    RETRIES_AHEAD_S,
    BucketState,
    Grant,
    Limit,
    RetryBudget,
    Turn,
    Wait,
    largest_cost,
    pick,
    reserve,
    units_left,
    units_within,
)

EPOCH = 1_790_000_000.0

# limits, how many units one reservation takes, one by one or at once
SENDERS = {
    "one text a second": ([Limit(1, 1)], 3, True),
    "three texts a second": ([Limit(3, 1)], 7, True),
    "a short code": ([Limit(100, 1)], 120, True),
    "posts": ([Limit(100, 900), Limit(10_000, 86_400)], 1, True),
    "mails": ([Limit(10_000, 1)], 1000, False),
    "mails of a small plan": ([Limit(3, 1), Limit(100, 86_400)], 1, False),
    "all at once": ([Limit(5, 1), Limit(60, 60), Limit(100, 900)], 4, True),
}
SENDER = pytest.mark.parametrize(("limits", "most", "spread"), SENDERS.values(), ids=SENDERS.keys())


def departures(grant: Grant, cost: int) -> Iterator[int]:
    """When each unit leaves, in microseconds as `reserve` reckons."""
    for unit in range(cost):
        yield round(grant.start * 1e6) + unit * round(grant.spacing * 1e6)


def worst(times: list[int], seconds: float) -> int:
    """The most units in any half-open interval of that length."""
    length = round(seconds * 1e6)
    return max(bisect_left(times, first + length) - i for i, first in enumerate(times))


def run(
    limits: list[Limit], most: int, *, spread: bool, seed: int, rounds: int, idle: float
) -> list[int]:
    """Departures of many reservations by clocks that stumble, jump ahead and fall back."""
    rng = Random(seed)
    states = tuple(BucketState() for _ in limits)
    now = EPOCH + rng.random()
    times: list[int] = []
    for _ in range(rounds):
        cost = rng.randint(1, most)
        answer = reserve(limits, states, now, cost, rng.choice([0.0, 1.0, 5.0]), spread=spread)
        match answer:
            case Grant():
                assert answer.start >= now - 1e-6
                states = answer.states
                times.extend(departures(answer, cost))
            case Wait(until):
                assert until > now
                now = max(now, until - rng.choice([0.0, 0.0, 0.3]))
        now += rng.choice([0.0, 0.0, 0.001, rng.random() * idle, -rng.random() * 3])
    return times


@SENDER
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), idle=st.sampled_from([0.0, 0.5, 20.0, 400.0]))
def test_no_window_is_ever_exceeded(
    limits: list[Limit], most: int, *, spread: bool, seed: int, idle: float
) -> None:
    times = run(limits, most, spread=spread, seed=seed, rounds=250, idle=idle)
    for limit in limits:
        assert worst(times, limit.seconds) <= limit.count


@SENDER
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_departures_never_go_back_in_time_even_when_the_clock_does(
    limits: list[Limit], most: int, *, spread: bool, seed: int
) -> None:
    times = run(limits, most, spread=spread, seed=seed, rounds=200, idle=1.0)
    assert times == sorted(times)


@given(
    limits=st.lists(
        st.builds(Limit, st.integers(1, 50), st.sampled_from([1, 7, 60, 61, 900])), min_size=1
    ),
    asks=st.lists(
        st.tuples(st.floats(-5, 30), st.integers(1, 50), st.booleans()), min_size=1, max_size=60
    ),
)
def test_requests_and_single_units_may_share_a_sender(
    limits: list[Limit], asks: list[tuple[float, int, bool]]
) -> None:
    states = tuple(BucketState() for _ in limits)
    now = EPOCH
    times: list[int] = []
    for pause, cost, spread in asks:
        now += pause
        fitting = min(cost, largest_cost(limits, spread=spread))
        answer = reserve(limits, states, now, fitting, 1e6, spread=spread)
        assert isinstance(answer, Grant)
        states = answer.states
        times.extend(departures(answer, fitting))
    for limit in limits:
        assert worst(times, limit.seconds) <= limit.count


@pytest.mark.parametrize(
    ("limits", "cost", "spread"),
    [
        ([Limit(1, 1)], 1, True),
        ([Limit(3, 1)], 3, True),
        ([Limit(100, 1)], 20, True),
        ([Limit(100, 900)], 1, True),
        ([Limit(10_000, 86_400)], 50, True),
        ([Limit(10_000, 1)], 1000, False),
        ([Limit(500, 60)], 100, False),
    ],
)
def test_nine_tenths_of_a_limit_can_be_used(
    limits: list[Limit], cost: int, *, spread: bool
) -> None:
    (limit,) = limits
    states: tuple[BucketState, ...] = (BucketState(),)
    now = EPOCH
    times: list[int] = []
    while len(times) < 40 * limit.count:
        answer = reserve(limits, states, now, cost, 0.0, spread=spread)
        if isinstance(answer, Wait):
            now = answer.until
            continue
        states = answer.states
        times.extend(departures(answer, cost))
    seconds = (times[-1] - times[0]) / 1e6
    assert (len(times) - cost) / seconds >= 0.9 * limit.count / limit.seconds


def test_an_idle_sender_starts_at_once_and_keeps_the_spacing() -> None:
    answer = reserve([Limit(3, 1)], [BucketState()], EPOCH, 4, 1.0, spread=True)
    assert isinstance(answer, Grant)
    assert answer.start == EPOCH
    assert 1 / 3 < answer.spacing <= 1 / 3 / 0.9


def test_one_request_leaves_at_one_instant() -> None:
    answer = reserve([Limit(10_000, 1)], [BucketState()], EPOCH, 1000, 1.0, spread=False)
    assert isinstance(answer, Grant)
    assert answer.spacing == 0.0


def test_requests_follow_each_other_evenly() -> None:
    limits = [Limit(10_000, 1)]
    first = reserve(limits, [BucketState()], EPOCH, 1000, 1.0, spread=False)
    assert isinstance(first, Grant)
    second = reserve(limits, first.states, EPOCH, 1, 1.0, spread=False)
    assert isinstance(second, Grant)
    assert second.start - first.start == pytest.approx(1000 / 10_000 * 13 / 12, rel=0.01)


@pytest.mark.parametrize(
    ("seconds_later", "left"), [(-100, 60), (0, 60), (899, 60), (975, 100), (9000, 100)]
)
def test_what_is_left_comes_back_when_the_window_has_passed(
    seconds_later: float, left: int
) -> None:
    limit = Limit(100, 900)
    taken = reserve([limit], [BucketState()], EPOCH, 40, 0.0, spread=True)
    assert isinstance(taken, Grant)
    assert units_left(limit, taken.states[0], EPOCH + seconds_later) == left


def test_long_windows_allow_a_burst() -> None:
    answer = reserve([Limit(100, 900)], [BucketState()], EPOCH, 100, 0.0, spread=True)
    assert isinstance(answer, Grant)
    assert (answer.start, answer.spacing) == (EPOCH, 0.0)
    assert isinstance(reserve([Limit(100, 900)], answer.states, EPOCH, 1, 5.0, spread=True), Wait)


def test_asking_again_at_the_named_time_is_answered_with_a_grant() -> None:
    limits, horizon = [Limit(1, 1)], 1.1
    first = reserve(limits, [BucketState()], EPOCH, 3, horizon, spread=True)
    assert isinstance(first, Grant)
    refused = reserve(limits, first.states, EPOCH, 1, horizon, spread=True)
    assert isinstance(refused, Wait)
    assert isinstance(reserve(limits, first.states, refused.until, 1, horizon, spread=True), Grant)


def test_without_limits_everything_goes_now() -> None:
    assert reserve([], [], EPOCH, 5, 0.0, spread=True) == Grant(EPOCH, 0.0, ())


@pytest.mark.parametrize(("cost", "spread"), [(0, True), (4, False)])
def test_a_cost_that_never_fits_is_an_error_and_not_an_endless_wait(
    *, cost: int, spread: bool
) -> None:
    with pytest.raises(ValueError, match="never fits"):
        reserve([Limit(3, 1)], [BucketState()], EPOCH, cost, 1.0, spread=spread)


def test_a_state_of_a_longer_window_is_refused_instead_of_miscounted() -> None:
    short = reserve([Limit(3, 1)], [BucketState()], EPOCH, 1, 1.0, spread=True)
    assert isinstance(short, Grant)
    with pytest.raises(ValueError, match="another length"):
        reserve([Limit(3, 900)], short.states, EPOCH, 1, 5.0, spread=True)


@pytest.mark.parametrize(("count", "seconds"), [(0, 1), (1, 0), (-3, 1)])
def test_a_limit_of_nothing_is_refused(count: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Limit(count, seconds)


@pytest.mark.parametrize(
    ("limits", "seconds", "units"),
    [
        ([Limit(100, 1)], 5, 461),
        ([Limit(1, 1)], 0.5, 1),
        ([Limit(100, 1), Limit(100, 900)], 5, 100),
        ([Limit(10_000, 86_400)], 5, 10_000),
    ],
)
def test_units_within_sizes_slices_by_the_steady_rate(
    limits: list[Limit], seconds: float, units: int
) -> None:
    assert units_within(limits, seconds) == units


# --- lanes ----------------------------------------------------------------------------------------


def test_p0_is_not_behind_a_hundred_thousand_waiting_texts() -> None:
    """Lower lanes reserve one second ahead, so that is all an urgent text can find before it."""
    limits = [Limit(100, 1)]
    states: tuple[BucketState, ...] = (BucketState(),)
    now, waiting = EPOCH, 100_000
    while now < EPOCH + 10:
        answer = reserve(limits, states, now, min(waiting, 20), 1.0, spread=True)
        if isinstance(answer, Wait):
            now = answer.until
            continue
        states, waiting = answer.states, waiting - 20
    assert waiting > 98_000
    turn, _ = pick(0, 20, 20)
    assert turn is Turn.URGENT
    urgent = reserve(limits, states, now, 20, 5.0, spread=True)
    assert isinstance(urgent, Grant)
    assert urgent.start - now <= 1.0 + 20 * urgent.spacing


@given(
    urgent_costs=st.lists(st.integers(1, 1000), min_size=1, max_size=200),
    lower_costs=st.lists(st.integers(1, 1000), min_size=1),
)
def test_lower_lanes_get_a_tenth_under_constant_urgent_load(
    urgent_costs: list[int], lower_costs: list[int]
) -> None:
    """A tenth to the slice: never owed more than one of theirs and a ninth of one urgent one."""
    credit, urgent, lower = 0, 0, 0
    lower_slices = cycle(lower_costs)
    waiting = next(lower_slices)
    for urgent_cost in urgent_costs:
        turn, credit = pick(credit, urgent_cost, waiting)
        while turn is Turn.LOWER:
            lower, waiting = lower + waiting, next(lower_slices)
            turn, credit = pick(credit, urgent_cost, waiting)
        urgent += urgent_cost
        owed = urgent - 9 * lower
        assert 0 <= owed < 9 * waiting + urgent_cost


def test_the_urgent_lane_goes_first_until_the_others_saved_enough() -> None:
    credit, turns = 0, []
    for _ in range(20):
        turn, credit = pick(credit, 10, 10)
        turns.append(turn)
    assert turns.count(Turn.LOWER) == 2
    assert turns[0] is Turn.URGENT


def test_a_lane_alone_has_every_turn_and_saves_nothing_up() -> None:
    assert pick(7, 5, None) == (Turn.URGENT, 0)
    assert pick(7, None, 5) == (Turn.LOWER, 0)
    assert pick(7, None, None) == (None, 0)


# --- retries --------------------------------------------------------------------------------------


@given(
    asks=st.lists(
        st.tuples(st.floats(0, 3), st.floats(0, 1), st.integers(1, 300)), min_size=1, max_size=200
    ),
    share=st.sampled_from([0.01, 0.1, 0.2]),
)
def test_over_any_while_retries_take_their_share_and_one_slice_more(
    asks: list[tuple[float, float, int]], share: float
) -> None:
    """Each asks some time after the last one and begins up to a second later, never before the last."""
    limits = [Limit(100, 1), Limit(100_000, 3_600)]
    budget, now = RetryBudget.of(limits, share, 0.0), EPOCH
    begun: list[tuple[float, int]] = []
    for pause, ahead, cost in asks:
        now += pause
        if budget.allows(now):
            start = max(now + ahead, begun[-1][0]) if begun else now + ahead
            begun.append((start, cost))
            budget = budget.spent(start, cost)
    rate = share * 100_000 / 3_600
    for first, (start, _) in enumerate(begun):
        units = 0
        for end, cost in begun[first:]:
            assert units <= rate * (end - start + RETRIES_AHEAD_S) + 1e-4
            units += cost


def test_small_retries_use_their_whole_share_though_turns_come_once_a_second() -> None:
    budget, sent = RetryBudget.of([Limit(100, 1)], 0.2, 0.0), 0
    for second in range(60):
        while budget.allows(EPOCH + second):
            budget, sent = budget.spent(EPOCH + second, 1), sent + 1
    assert sent == pytest.approx(60 * 20, rel=0.05)


def test_a_share_that_was_not_used_is_not_saved_up() -> None:
    budget = RetryBudget.of([Limit(100, 1)], 0.2, 0.0).spent(EPOCH, 20)
    sent = 0
    while budget.allows(EPOCH + 3_600):
        budget, sent = budget.spent(EPOCH + 3_600, 1), sent + 1
    assert sent <= 20 * RETRIES_AHEAD_S + 1
