"""The life of a query, decided: what is known goes in, what must be done comes out. It does nothing itself.

Invariants: a terminal stage is never left; a query completes only with two stored shares of one generation;
every query that the chain has ended is settled and cleaned up; nothing is announced twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account

MPC_NODES = 3
SHARES_NEEDED = 2
THIRD_SHARE_SECONDS = 30.0


class Stage(StrEnum):
    """How far a query is: `query.status` for its customer."""

    PROPOSED = "proposed"
    RESERVED = "reserved"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    RECOVERING = "recovering"
    DELIVERING = "delivering"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the query's outcome is known for good."""
        return self in (Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED)


class Announcement(StrEnum):
    """What the coordinator writes on chain about a query; each at most once a generation."""

    DISPATCH = "dispatch"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    CLEANUP = "cleanup"
    SETTLE = "settle"


_ENDINGS = frozenset({Announcement.COMPLETE, Announcement.FAIL, Announcement.CANCEL})


@dataclass(frozen=True, slots=True)
class ReportedFailure:
    """What a participant says went wrong, for the customer to read; `node` is whose doing it was, None nobody's."""

    node: Account | None
    reason: FailureReason
    sentence: str


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """All that may bear on a decision. Times are seconds of one clock, the database's.

    `announced` are the announcements already on their way in this generation; `ended_on_chain` follows the
    chain at the depth that the coordinator acts on; `shares` are the ranks stored for this generation.
    """

    stage: Stage
    generation: int
    reserved_until: float
    max_run_seconds: int
    dispatched_at: float | None = None
    progressed: bool = False
    lost_owners: tuple[Account, ...] = ()
    lost_mpcs: tuple[Account, ...] = ()
    failure: ReportedFailure | None = None
    shares: frozenset[int] = frozenset()
    second_share_at: float | None = None
    constants_missing: int = 0
    announced: frozenset[Announcement] = frozenset()
    dispatch_refused: str | None = None
    ended_on_chain: bool = False
    final: bool = False
    cleaned_on_chain: bool = False
    reservation_held: bool = False


@dataclass(frozen=True, slots=True)
class Lapse:
    """End a query that never reached the chain: nobody signed it in time, or its dispatch was refused."""

    sentence: str


@dataclass(frozen=True, slots=True)
class MoveTo:
    """Tell the customer of a new stage."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class AnnounceCompletion:
    """Write the hash of the stored shares on chain."""


@dataclass(frozen=True, slots=True)
class AnnounceFailure:
    """Write on chain that the query failed, why, and whose doing it was (None: nobody's in particular)."""

    reason: FailureReason
    node: Account | None
    sentence: str


@dataclass(frozen=True, slots=True)
class AnnounceCleanup:
    """Tell all participants by the chain to destroy what they hold of the query."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Write what was observed of each participant on chain."""


@dataclass(frozen=True, slots=True)
class FreeReservations:
    """Give the participants' capacity back."""


Action = Lapse | MoveTo | AnnounceCompletion | AnnounceFailure | AnnounceCleanup | Settle | FreeReservations


def decide(facts: QueryFacts, now: float) -> tuple[Action, ...]:
    """Return what must be done now, in order; empty when there is only waiting. Repeating it is harmless."""
    if facts.ended_on_chain:
        return tuple(_after_the_end(facts))
    if facts.stage.terminal:
        return _free(facts)
    if facts.dispatched_at is None:
        return tuple(_before_dispatch(facts, now))
    if facts.announced & _ENDINGS:
        return ()
    return tuple(_while_running(facts, facts.dispatched_at, now))


def next_due(facts: QueryFacts) -> float | None:
    """Return when waiting alone could change the decision; None when only an event can."""
    if facts.ended_on_chain or facts.stage.terminal:
        return None
    if facts.dispatched_at is None:
        return facts.reserved_until
    if len(facts.shares) >= SHARES_NEEDED and facts.second_share_at is not None:
        return facts.second_share_at + THIRD_SHARE_SECONDS
    return facts.dispatched_at + facts.max_run_seconds


def _before_dispatch(facts: QueryFacts, now: float) -> Iterable[Action]:
    if facts.dispatch_refused is not None:
        yield Lapse(f"The chain refused the order: {facts.dispatch_refused}")
    elif Announcement.DISPATCH not in facts.announced and now >= facts.reserved_until:
        yield Lapse("The order was not signed in time, so the nodes were released; propose the query again.")


def _while_running(facts: QueryFacts, dispatched_at: float, now: float) -> Iterable[Action]:
    if len(facts.shares) >= SHARES_NEEDED:
        if facts.stage is not Stage.DELIVERING:
            yield MoveTo(Stage.DELIVERING)
        if _delivered(facts, now):
            yield AnnounceCompletion()
        return
    failure = _failure(facts, dispatched_at, now)
    if failure is not None:
        yield failure
    elif facts.progressed and facts.stage is Stage.DISPATCHED:
        yield MoveTo(Stage.RUNNING)


def _delivered(facts: QueryFacts, now: float) -> bool:
    whole = len(facts.shares) == MPC_NODES and facts.constants_missing == 0
    waited = facts.second_share_at is not None and now >= facts.second_share_at + THIRD_SHARE_SECONDS
    return whole or waited


def _failure(facts: QueryFacts, dispatched_at: float, now: float) -> AnnounceFailure | None:
    if facts.failure is not None:
        return AnnounceFailure(facts.failure.reason, facts.failure.node, facts.failure.sentence)
    if facts.lost_owners and not facts.shares:
        return _blame(FailureReason.OWNER_LOST, facts.lost_owners[0])
    if facts.lost_mpcs:
        return _blame(FailureReason.NO_SUCCESSOR, facts.lost_mpcs[0])
    if now >= dispatched_at + facts.max_run_seconds:
        return _blame(FailureReason.TIMED_OUT, None)
    return None


def _blame(reason: FailureReason, node: Account | None) -> AnnounceFailure:
    return AnnounceFailure(reason, node, reason.sentence)


def _after_the_end(facts: QueryFacts) -> Iterable[Action]:
    if not facts.cleaned_on_chain and Announcement.CLEANUP not in facts.announced:
        yield AnnounceCleanup()
    if facts.final and Announcement.SETTLE not in facts.announced:
        yield Settle()
    yield from _free(facts)


def _free(facts: QueryFacts) -> tuple[Action, ...]:
    return (FreeReservations(),) if facts.reservation_held else ()


@dataclass(frozen=True, slots=True)
class Conduct:
    """What the management system saw of the participants of an ended query."""

    owners: tuple[Account, ...]
    mpcs: tuple[Account, ...]
    replaced: tuple[Account, ...] = ()
    delivered: frozenset[Account] = field(default_factory=frozenset)
    failure: FailureReason | None = None
    blamed: Account | None = None


_CRASHED, _FELL_SHORT, _DID_ITS_PART = 0, 50, 100
_CRASHES = frozenset({FailureReason.OWNER_LOST, FailureReason.NO_SUCCESSOR})


def observations(conduct: Conduct) -> tuple[int, ...]:
    """Return m in percent for owners, MPC nodes and replaced nodes, in the order that `settle` takes.

    A crash is 0, a share that never came or a fault of one's own 50, all else 100: slow success is no failure,
    and a failure that is nobody's fault costs nobody.
    """
    kept = [*((node, True) for node in conduct.owners), *((node, False) for node in conduct.mpcs)]
    return (*(_observe(conduct, node, owner) for node, owner in kept), *(_CRASHED for _ in conduct.replaced))


def _observe(conduct: Conduct, node: Account, owner: bool) -> int:
    if conduct.failure is not None:
        if node != conduct.blamed:
            return _DID_ITS_PART
        return _CRASHED if conduct.failure in _CRASHES else _FELL_SHORT
    return _DID_ITS_PART if owner or node in conduct.delivered else _FELL_SHORT
