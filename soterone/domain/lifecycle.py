"""The life of a query, decided: what is known goes in, what must be done comes out. It does nothing itself.

Invariants: a terminal stage is never left; a query completes only with two stored shares of its present generation;
no MPC node is replaced without a signed complaint, nor while two shares are there or certain to come; a generation
never goes back; every query that the chain has ended is settled and cleaned up; nothing is announced twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.domain.recovery import Complaint, Loss, OpenReplacement, find_loss

MPC_NODES = 3
SHARES_NEEDED = 2
THIRD_SHARE_SECONDS = 30.0

SUSPICION_SECONDS = 30.0
"""So long the report of a failed engine waits while a lost node may explain it."""

EXPIRY_MARGIN_SECONDS = 60.0
"""So much later than the chain would allow it the coordinator closes a query as abandoned."""


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
    EXPIRE = "expire"
    REPLACE = "replace"
    CLEANUP = "cleanup"
    SETTLE = "settle"


_ENDINGS = frozenset({Announcement.COMPLETE, Announcement.FAIL, Announcement.CANCEL, Announcement.EXPIRE})
_ENGINES_FAULT = frozenset({FailureReason.ENGINE_ERROR, FailureReason.QUARANTINED})


@dataclass(frozen=True, slots=True)
class ReportedFailure:
    """What a participant says went wrong, for the customer to read; `node` is whose doing it was, None nobody's."""

    node: Account | None
    reason: FailureReason
    sentence: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """All that may bear on a decision. Times are seconds of one clock, the database's.

    `announced` are the announcements already on their way in this generation; `ended_on_chain` follows the
    chain at the depth that the coordinator acts on; `shares` are the ranks stored for this generation.
    `lost_owners` are offline before training has ended; `silent_mpcs` are those of the trio that are offline and may
    still be needed, although somebody listened; `result_assured`: two shares are
    there or certain to come, so that nobody is replaced. `complaints` are those of this generation about its trio.
    `closing_seconds`: how long after its longest run results may still come and nodes still clean up.
    `patient_until`: the coordinator was away, so what is late by then may still come. `behind_chain`: a reorganisation
    took the latest replacement out of the chain; `replacement_refused`, that the chain then would not take it again.
    """

    stage: Stage
    generation: int
    reserved_until: float
    max_run_seconds: int
    dispatched_at: float | None = None
    progressed: bool = False
    lost_owners: tuple[Account, ...] = ()
    silent_mpcs: tuple[Account, ...] = ()
    result_assured: bool = False
    complaints: tuple[Complaint, ...] = ()
    replacement: OpenReplacement | None = None
    replacements_left: int = 0
    successor_wait_seconds: float = 60.0
    lot: bytes = bytes(32)
    behind_chain: bool = False
    replacement_refused: bool = False
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
    closing_seconds: float = 1200.0
    patient_until: float = 0.0

    @property
    def suspected(self) -> bool:
        """Whether a lost MPC node may explain what goes wrong."""
        return bool(self.silent_mpcs or self.complaints or self.replacement)


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
class RecordLoss:
    """Fix who is lost and which later block's hash draws the successor."""

    loss: Loss


@dataclass(frozen=True, slots=True)
class WithdrawLoss:
    """The lost node is back, or not needed any more, before its successor was announced."""


@dataclass(frozen=True, slots=True)
class DrawSuccessor:
    """Draw the successor by the seed and announce it; when nobody can take the place, look again later."""


@dataclass(frozen=True, slots=True)
class RepeatReplacement:
    """Announce the same successor again: a reorganisation took it out of the chain, which then refused it."""


@dataclass(frozen=True, slots=True)
class Expire:
    """Close on chain what nobody finished within its longest time."""


@dataclass(frozen=True, slots=True)
class AnnounceCleanup:
    """Tell all participants by the chain to destroy what they hold of the query."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Write what was observed of each participant on chain."""


@dataclass(frozen=True, slots=True)
class FreeReservations:
    """Give the participants' capacity back."""


Recovery = RecordLoss | WithdrawLoss | DrawSuccessor | RepeatReplacement
Ending = Lapse | AnnounceCompletion | AnnounceFailure | Expire
Action = MoveTo | Recovery | Ending | AnnounceCleanup | Settle | FreeReservations


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
    return max(facts.dispatched_at + facts.max_run_seconds, facts.patient_until)


def _before_dispatch(facts: QueryFacts, now: float) -> Iterable[Action]:
    if facts.dispatch_refused is not None:
        yield Lapse(f"The chain refused the order: {facts.dispatch_refused}")
    elif Announcement.DISPATCH not in facts.announced and now >= facts.reserved_until:
        yield Lapse("The order was not signed in time, so the nodes were released; propose the query again.")


def _while_running(facts: QueryFacts, dispatched_at: float, now: float) -> Iterable[Action]:
    if Announcement.REPLACE in facts.announced:
        return
    if facts.behind_chain:
        yield from _behind_chain(facts, dispatched_at, now)
    elif facts.replacement is not None and not _still_lost(facts, facts.replacement.loss):
        yield WithdrawLoss()
    elif len(facts.shares) >= SHARES_NEEDED:
        yield from _delivering(facts, now)
    elif _abandoned(facts, dispatched_at, now):
        yield Expire()
    elif (failure := _failure(facts, dispatched_at, now)) is not None:
        yield failure
    else:
        yield from _going_on(facts, now)


def _behind_chain(facts: QueryFacts, dispatched_at: float, now: float) -> Iterable[Action]:
    """The sender sends the replacement again; nothing else of this generation would open on chain before it."""
    if _abandoned(facts, dispatched_at, now):
        yield Expire()
    elif _timed_out(facts, dispatched_at, now):
        yield _blame(FailureReason.TIMED_OUT, None)
    elif facts.replacement_refused:
        yield RepeatReplacement()


def _delivering(facts: QueryFacts, now: float) -> Iterable[Action]:
    if facts.stage is not Stage.DELIVERING:
        yield MoveTo(Stage.DELIVERING)
    if _delivered(facts, now):
        yield AnnounceCompletion()


def _delivered(facts: QueryFacts, now: float) -> bool:
    whole = len(facts.shares) == MPC_NODES and facts.constants_missing == 0
    waited = facts.second_share_at is not None and now >= facts.second_share_at + THIRD_SHARE_SECONDS
    return whole or waited


def _going_on(facts: QueryFacts, now: float) -> Iterable[Action]:
    if facts.replacement is not None:
        if facts.replacement.seeded:
            yield DrawSuccessor()
    elif (loss := _loss(facts, now)) is not None:
        yield RecordLoss(loss)
    elif facts.progressed and facts.stage in (Stage.DISPATCHED, Stage.RECOVERING):
        yield MoveTo(Stage.RUNNING)


def _loss(facts: QueryFacts, now: float) -> Loss | None:
    if facts.result_assured:
        return None
    return find_loss(facts.complaints, facts.silent_mpcs, facts.lot, now)


def _still_lost(facts: QueryFacts, loss: Loss) -> bool:
    return not facts.result_assured and (loss.node in facts.silent_mpcs or not loss.blamed)


def _failure(facts: QueryFacts, dispatched_at: float, now: float) -> AnnounceFailure | None:
    report = facts.failure
    if report is not None and not _explained(facts, report, now):
        return AnnounceFailure(report.reason, report.node, report.sentence)
    if facts.lost_owners:
        return _blame(FailureReason.OWNER_LOST, facts.lost_owners[0])
    unfilled = _unfilled(facts, now)
    if unfilled is not None:
        return _no_successor(unfilled)
    if _timed_out(facts, dispatched_at, now):
        return _blame(FailureReason.TIMED_OUT, None)
    return None


def _explained(facts: QueryFacts, report: ReportedFailure, now: float) -> bool:
    """An engine that failed beside a lost node is that node's loss, when it turns out to be lost soon."""
    lately = facts.suspected and now < report.at + SUSPICION_SECONDS
    return report.reason in _ENGINES_FAULT and (facts.replacement is not None or lately)


def _timed_out(facts: QueryFacts, dispatched_at: float, now: float) -> bool:
    return now >= max(dispatched_at + facts.max_run_seconds, facts.patient_until)


def _abandoned(facts: QueryFacts, dispatched_at: float, now: float) -> bool:
    """By then everybody has cleaned up, and anybody may close the query on chain."""
    return now >= dispatched_at + facts.max_run_seconds + facts.closing_seconds + EXPIRY_MARGIN_SECONDS


def _unfilled(facts: QueryFacts, now: float) -> Loss | None:
    """Return the loss that nobody will make good, None when there is none."""
    place = facts.replacement
    if place is None:
        return _loss(facts, now) if facts.replacements_left == 0 else None
    vacant = place.vacant_since is not None and now >= place.vacant_since + facts.successor_wait_seconds
    return place.loss if vacant else None


def _no_successor(loss: Loss) -> AnnounceFailure:
    if loss.blamed:
        return _blame(FailureReason.NO_SUCCESSOR, loss.node)
    sentence = f"MPC node {loss.node} and its peers could not reach each other, and no other node may take its place."
    return AnnounceFailure(FailureReason.NO_SUCCESSOR, None, sentence)


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
    unblamed: frozenset[Account] = frozenset()
    delivered: frozenset[Account] = field(default_factory=frozenset)
    failure: FailureReason | None = None
    blamed: Account | None = None


_CRASHED, _FELL_SHORT, _DID_ITS_PART = 0, 50, 100
_CRASHES = frozenset({FailureReason.OWNER_LOST, FailureReason.NO_SUCCESSOR})


def observations(conduct: Conduct) -> tuple[int, ...]:
    """Return m in percent for owners, MPC nodes and replaced nodes, in the order that `settle` takes.

    A crash is 0, a share that never came or a fault of one's own 50, all else 100: slow success is no failure,
    and a failure that is nobody's fault, as a replacement for a cut link, costs nobody.
    """
    kept = [*((node, True) for node in conduct.owners), *((node, False) for node in conduct.mpcs)]
    lost = (_DID_ITS_PART if node in conduct.unblamed else _CRASHED for node in conduct.replaced)
    return (*(_observe(conduct, node, owner) for node, owner in kept), *lost)


def _observe(conduct: Conduct, node: Account, owner: bool) -> int:
    if conduct.failure is not None:
        if node != conduct.blamed:
            return _DID_ITS_PART
        return _CRASHED if conduct.failure in _CRASHES else _FELL_SHORT
    return _DID_ITS_PART if owner or node in conduct.delivered else _FELL_SHORT
