"""The checks of chaos see what happened twice, or never."""

from collections.abc import Callable

import pytest

from scripts.chaos.endings import end_of, repeated, same
from scripts.chaos.expectations import End
from scripts.chaos.outcome import Verdict
from soterone.chain.events import (
    Event,
    LogPosition,
    MPCUpdated,
    QueryCleanup,
    QueryCompleted,
    QueryDispatched,
    QueryFailed,
    QuerySettled,
)
from soterone.crypto.accounts import account
from soterone.domain.failures import FailureReason
from soterone.domain.ids import QueryId, hash32

HASH = hash32(bytes(32))
QUERY = QueryId(HASH)
NODE = account("0x" + "11" * 20)
AT = LogPosition(31337, 1, 0, HASH, HASH)
DISPATCHED = QueryDispatched(AT, QUERY, NODE, HASH, (NODE,), (NODE,), HASH, 60, 60, 60)
FAILED, COMPLETED = QueryFailed(AT, QUERY, 1, NODE), QueryCompleted(AT, QUERY, 1, HASH)
CLEANED, SETTLED = QueryCleanup(AT, QUERY), QuerySettled(AT, QUERY, (NODE,), (100,))
WELL = (DISPATCHED, COMPLETED, CLEANED, SETTLED)


def replaced(generation: int) -> MPCUpdated:
    return MPCUpdated(AT, QUERY, NODE, NODE, generation, 1, (NODE,))


def test_the_end_is_read_from_the_events() -> None:
    assert end_of([DISPATCHED]) is None
    assert same(End("completed", generation=1), end_of(WELL))
    assert not same(End("completed"), end_of(WELL))
    assert same(End("failed", reason=FailureReason.OWNER_LOST), end_of([DISPATCHED, FAILED]))
    assert not same(End("failed", reason=FailureReason.TIMED_OUT), end_of([FAILED]))
    assert not same(End("completed"), None)


def test_a_query_that_ended_well_is_not_complained_of() -> None:
    assert list(repeated(WELL)) == []
    assert list(repeated([replaced(1), replaced(2), *WELL])) == []


@pytest.mark.parametrize(
    ("spoil", "verdict"),
    [
        (lambda events: [*events, COMPLETED], Verdict.DOUBLED),
        (lambda events: [*events, FAILED], Verdict.DOUBLED),
        (lambda events: [*events, SETTLED], Verdict.DOUBLED),
        (lambda events: [*events, DISPATCHED], Verdict.DOUBLED),
        (lambda events: [replaced(1), replaced(1), *events], Verdict.DOUBLED),
        (lambda events: [replaced(2), *events], Verdict.DOUBLED),
        (lambda events: [one for one in events if one is not CLEANED], Verdict.STUCK),
        (lambda events: [one for one in events if one is not SETTLED], Verdict.STUCK),
    ],
)
def test_what_happened_twice_or_never_is_complained_of(
    spoil: Callable[[tuple[Event, ...]], list[Event]], verdict: Verdict
) -> None:
    assert [complaint.verdict for complaint in repeated(spoil(WELL))] == [verdict]
