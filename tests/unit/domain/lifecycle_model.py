"""A little network in memory: a chain, nodes, an outbox and one coordinator that does what `decide` says.

The chain refuses what the contracts refuse; transactions are mined in the order in which they were written.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.domain.lifecycle import (
    SHARES_NEEDED,
    Action,
    AnnounceCleanup,
    AnnounceCompletion,
    AnnounceFailure,
    Announcement,
    DrawSuccessor,
    Expire,
    FreeReservations,
    Lapse,
    MoveTo,
    QueryFacts,
    RecordLoss,
    RepeatReplacement,
    ReportedFailure,
    Settle,
    Stage,
    WithdrawLoss,
)
from soterone.domain.recovery import Complaint, OpenReplacement, lot_of

OWNERS = (Account("0x" + "a" * 40), Account("0x" + "b" * 40))
NODES = tuple(Account("0x" + str(digit) * 40) for digit in range(1, 8))
TRIO = NODES[:3]
RUN_SECONDS, CLOSING_SECONDS, WAIT_SECONDS, REFUSED_SECONDS = 300, 100.0, 60.0, 30.0
LONE_SHARE_SECONDS = 30.0
MOST_REPLACEMENTS = 2
_ENDINGS = {
    Announcement.COMPLETE: Stage.COMPLETED,
    Announcement.FAIL: Stage.FAILED,
    Announcement.EXPIRE: Stage.FAILED,
    Announcement.CANCEL: Stage.CANCELLED,
}
_ONCE = (Announcement.DISPATCH, Announcement.CLEANUP, Announcement.SETTLE)


class State(StrEnum):
    """Of a row in the outbox."""

    PENDING = "pending"
    MINED = "mined"
    REVERTED = "reverted"


@dataclass(eq=False)
class Row:
    """A transaction: `opens` is the generation that its opening is of, `change` who follows whom."""

    action: Announcement
    generation: int
    written_at: float
    opens: int = 0
    change: tuple[Account, Account] | None = None
    shares: int = 0
    state: State = State.PENDING


@dataclass
class Chain:
    """What was mined, oldest first."""

    mined: list[Row] = field(default_factory=list)

    @property
    def changes(self) -> list[tuple[Account, Account]]:
        return [row.change for row in self.mined if row.change is not None]

    @property
    def generation(self) -> int:
        return len(self.changes)

    @property
    def end(self) -> Row | None:
        return next((row for row in self.mined if row.action in _ENDINGS), None)

    def has(self, action: Announcement) -> bool:
        return any(row.action == action for row in self.mined)

    def takes(self, row: Row) -> bool:
        """Whether the contracts would."""
        if row.action == Announcement.DISPATCH:
            return not self.mined
        if row.action in (Announcement.CLEANUP, Announcement.SETTLE):
            opened = row.action == Announcement.CLEANUP or row.opens == self.generation
            return self.end is not None and not self.has(row.action) and opened
        running = self.has(Announcement.DISPATCH) and self.end is None
        if row.action == Announcement.REPLACE:
            assert row.change is not None
            fits = self.generation < MOST_REPLACEMENTS and row.change[1] not in self.used
            return running and row.opens == self.generation and fits
        enough = row.action != Announcement.COMPLETE or row.shares >= SHARES_NEEDED
        return running and row.opens == self.generation and enough

    @property
    def used(self) -> set[Account]:
        return {*TRIO, *(new for _, new in self.changes)}


@dataclass
class Network:
    """Everything there is, and the coordinator's rows about one query."""

    now: float = 1_000.0
    chain: Chain = field(default_factory=Chain)
    outbox: list[Row] = field(default_factory=list)
    stage: Stage = Stage.RESERVED
    generation: int = 0
    trio: tuple[Account, ...] = TRIO
    used: set[Account] = field(default_factory=lambda: set(TRIO))
    dispatched_at: float | None = None
    offline: set[Account] = field(default_factory=set)
    complaints: dict[int, list[Complaint]] = field(default_factory=dict)
    shares: dict[tuple[int, Account], float] = field(default_factory=dict)
    phases: dict[tuple[int, Account], str] = field(default_factory=dict)
    reports: dict[int, ReportedFailure] = field(default_factory=dict)
    open: OpenReplacement | None = None
    trained: bool = False
    patient_until: float = 0.0
    reserved: bool = True
    losses: list[tuple[int, RecordLoss]] = field(default_factory=list)

    # What the coordinator knows

    def facts(self) -> QueryFacts:
        ranked = {self.trio.index(node): at for node, at in self.present_shares().items()}
        assured, believed = self.assured, self.present_shares() if self.lone_share_is_fresh else {}
        gone = [one for one in self.trio if one in self.offline and one not in believed]
        ended = self.trained or assured or believed
        owners = () if ended else tuple(one for one in OWNERS if one in self.offline)
        return QueryFacts(
            stage=self.stage,
            generation=self.generation,
            reserved_until=1_100.0,
            max_run_seconds=RUN_SECONDS,
            dispatched_at=self.dispatched_at,
            progressed=any(generation == self.generation for generation, _ in self.phases),
            lost_owners=owners,
            silent_mpcs=() if assured else tuple(gone),
            result_assured=assured,
            complaints=tuple(
                one for one in self.complaints.get(self.generation, []) if one.lost in self.trio
            ),
            replacement=self.open,
            replacements_left=MOST_REPLACEMENTS - self.generation,
            successor_wait_seconds=WAIT_SECONDS,
            lot=lot_of(bytes(32), self.generation),
            behind_chain=self.chain.generation < self.generation,
            replacement_refused=self._state_of(Announcement.REPLACE, self.chain.generation) == State.REVERTED,
            failure=self.reports.get(self.generation),
            shares=frozenset(ranked),
            second_share_at=sorted(ranked.values())[1] if len(ranked) >= SHARES_NEEDED else None,
            announced=frozenset(self._announced()),
            dispatch_refused="no" if self._state_of(Announcement.DISPATCH, 0) == State.REVERTED else None,
            ended_on_chain=self.chain.end is not None,
            final=self.chain.end is not None,
            cleaned_on_chain=self.chain.has(Announcement.CLEANUP),
            reservation_held=self.reserved,
            closing_seconds=CLOSING_SECONDS,
            patient_until=self.patient_until,
        )

    def present_shares(self) -> dict[Account, float]:
        return {
            node: at for (of, node), at in self.shares.items() if of == self.generation and node in self.trio
        }

    @property
    def lone_share_is_fresh(self) -> bool:
        first = min(self.present_shares().values(), default=float("-inf"))
        return self.now < max(first + LONE_SHARE_SECONDS, self.patient_until)

    @property
    def delivering(self) -> int:
        """How many of the trio say that they only deliver."""
        return sum(self.phases.get((self.generation, node)) == "deliver" for node in self.trio)

    @property
    def assured(self) -> bool:
        delivering = {
            node
            for (of, node), phase in self.phases.items()
            if of == self.generation and phase == "deliver" and node not in self.offline
        }
        return len(set(self.trio) & (delivering | set(self.present_shares()))) >= SHARES_NEEDED

    def _announced(self) -> set[Announcement]:
        return {
            row.action
            for row in self.outbox
            if row.state != State.REVERTED and (row.generation == self.generation or row.action in _ONCE)
        }

    def _state_of(self, action: Announcement, generation: int) -> State | None:
        found = [row for row in self.outbox if row.action == action and row.generation == generation]
        return found[-1].state if found else None

    # What the coordinator does

    def act(self, action: Action) -> None:
        match action:
            case Lapse():
                self.stage = Stage.FAILED
            case MoveTo(stage):
                self.stage = stage
            case AnnounceCompletion():
                self.send(Announcement.COMPLETE, shares=len(self.present_shares()))
            case AnnounceFailure():
                self.send(Announcement.FAIL)
            case Expire():
                self.send(Announcement.EXPIRE)
            case RecordLoss():
                self.open, self.stage = OpenReplacement(action.loss), Stage.RECOVERING
                self.losses.append((self.generation, action))
            case WithdrawLoss():
                self.open = None
            case DrawSuccessor():
                self._draw()
            case RepeatReplacement():
                refused = next(
                    row
                    for row in self.outbox
                    if row.action == Announcement.REPLACE and row.generation == self.chain.generation
                )
                self.send(Announcement.REPLACE, refused.generation, change=refused.change)
            case AnnounceCleanup():
                self.send(Announcement.CLEANUP, 0)
            case Settle():
                self.send(Announcement.SETTLE, 0)
            case FreeReservations():
                self.reserved = False

    def _draw(self) -> None:
        assert self.open is not None
        free = [one for one in NODES if one not in self.used and one not in self.offline]
        if not free:
            since = self.open.vacant_since
            self.open = replace(self.open, vacant_since=self.now if since is None else since)
            return
        self.send(Announcement.REPLACE, change=(self.open.loss.node, free[0]))

    def send(
        self,
        action: Announcement,
        generation: int | None = None,
        change: tuple[Account, Account] | None = None,
        shares: int = 0,
    ) -> None:
        """Write a row unless there is one; one that was refused is written anew after a while."""
        of = self.generation if generation is None else generation
        known = [row for row in self.outbox if row.action == action and row.generation == of]
        if known and (known[-1].state != State.REVERTED or self.now < known[-1].written_at + REFUSED_SECONDS):
            return
        self.outbox = [row for row in self.outbox if row not in known]
        self.outbox.append(Row(action, of, self.now, self.chain.generation, change, shares))

    # What the chain does

    @property
    def pending(self) -> list[Row]:
        return [row for row in self.outbox if row.state == State.PENDING]

    def mine(self, *, refused: bool = False) -> None:
        """Mine the oldest transaction; a refused one changes nothing on chain."""
        row = self.pending[0]
        if refused or not self.chain.takes(row):
            row.state = State.REVERTED
            return
        row.state = State.MINED
        self.chain.mined.append(row)
        self.follow()

    def reorganise(self, depth: int) -> None:
        """Take the newest transactions out of the chain; the sender sends them again in the same order."""
        gone, self.chain.mined = self.chain.mined[-depth:], self.chain.mined[:-depth]
        for row in gone:
            row.state = State.PENDING
        waiting = [row for row in self.outbox if row in gone]
        self.outbox = [row for row in self.outbox if row not in gone or row.state != State.PENDING] + waiting
        self.outbox.sort(key=lambda row: row.written_at)
        self.follow()

    def follow(self) -> None:
        """Bring the rows in line with the chain, as `coordinator.chain.projection` does."""
        dispatched, end = self.chain.has(Announcement.DISPATCH), self.chain.end
        if not dispatched and self.dispatched_at is not None:
            self.stage, self.dispatched_at = Stage.RESERVED, None
        elif dispatched and self.dispatched_at is None:
            self.stage, self.dispatched_at = Stage.DISPATCHED, self.now
        for generation, (old, new) in enumerate(self.chain.changes, start=1):
            if generation > self.generation:
                self.trio = tuple(new if one == old else one for one in self.trio)
                self.used.add(new)
                self.generation, self.open, self.trained = generation, None, False
                self.stage = Stage.RECOVERING
        if end is not None:
            self.stage = _ENDINGS[end.action]
        elif self.stage.terminal:
            self.stage = Stage.RUNNING if dispatched else Stage.RESERVED


def failure(reason: FailureReason, at: float) -> ReportedFailure:
    return ReportedFailure(None, reason, reason.sentence, at)
