"""How a query ended, and what happened once too often, by its events on chain alone. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from scripts.chaos.expectations import End
from scripts.chaos.outcome import Complaint, Verdict
from soterone.chain.events import (
    Event,
    MPCUpdated,
    QueryCleanup,
    QueryCompleted,
    QueryDispatched,
    QueryFailed,
    QuerySettled,
)
from soterone.domain.failures import FailureReason

_ONCE = (QueryDispatched, QueryCleanup, QuerySettled)


def describe(end: End) -> str:
    """Return an end in words."""
    if end.status == "completed":
        return f"completed in generation {end.generation}"
    return f"failed for reason {end.reason}" + (f" ({end.reason.name})" if end.reason else "")


def end_of(events: Iterable[Event]) -> End | None:
    """Return the first end that the events tell of, None when there is none."""
    for event in events:
        if isinstance(event, QueryCompleted):
            return End("completed", event.generation)
        if isinstance(event, QueryFailed):
            return End("failed", reason=FailureReason(event.reason))
    return None


def same(expected: End, found: End | None) -> bool:
    """Say whether two ends are the same, whatever its victims are settled with."""
    return found is not None and (expected.status, expected.generation, expected.reason) == (
        found.status,
        found.generation,
        found.reason,
    )


def repeated(events: Sequence[Event]) -> Iterator[Complaint]:
    """Yield what happened twice and may once, or never and must."""
    counted = Counter(type(event) for event in events)
    for kind in _ONCE:
        if counted[kind] != 1:
            verdict = Verdict.DOUBLED if counted[kind] else Verdict.STUCK
            yield Complaint(verdict, f"{kind.__name__} stands {counted[kind]} times on chain")
    if counted[QueryCompleted] + counted[QueryFailed] > 1:
        yield Complaint(Verdict.DOUBLED, "the query ended twice on chain")
    generations = [event.generation for event in events if isinstance(event, MPCUpdated)]
    if generations != list(range(1, len(generations) + 1)):
        yield Complaint(Verdict.DOUBLED, f"MPCUpdated tells of the generations {generations}")
