"""Every score recomputed: what each settlement, feedback and penalty must have changed, against what was emitted."""

from collections import deque
from dataclasses import dataclass, field

from soterone.audit.penalties import Penalty
from soterone.audit.report import Finding, Subject
from soterone.audit.trail import Trail, moment, note, value_at
from soterone.chain.events import (
    CredibilityUpdated,
    Event,
    FeedbackGiven,
    NodePenalised,
    NodeRegistered,
    PenaltyReversed,
    QuerySettled,
    ReputationUpdated,
)
from soterone.domain.ids import Account
from soterone.domain.reputation import Record, Severity, advance
from soterone.domain.reputation_book import (
    CredibilityUpdate,
    ReputationBook,
    ReputationUpdate,
    UnknownPenaltyError,
    UnsettledFeedbackError,
    Update,
)


@dataclass(slots=True)
class ScoreReplay:
    """The reputation book after the events so far.

    `examined` counts the emitted updates that were recomputed, `nodes` and `customers` are those whose standing moved
    since the replay began, `penalty` is what the last event cost when it was one.
    """

    book: ReputationBook
    trail: Trail[Account, Record] = field(default_factory=dict)
    examined: int = 0
    nodes: set[Account] = field(default_factory=set)
    customers: set[Account] = field(default_factory=set)
    penalty: Penalty | None = None
    findings: list[Finding] = field(default_factory=list)
    _expected: deque[Update] = field(default_factory=deque)

    def apply(self, event: Event, time: int) -> None:
        """Take in the next event with its block's timestamp (seconds)."""
        self.penalty = None
        emitted = _emitted(event)
        if emitted is not None:
            self._compare(emitted)
            return
        caused = self._cause(event, time)
        if caused is not None:
            self.finish()
            self._expected.extend(caused)
            self._remember(caused, moment(event.position.block_number, event.position.log_index))

    def finish(self) -> None:
        """Complain of every update that should have been emitted by now and was not."""
        for update in self._expected:
            self.findings.append(Finding(f"the chain never showed {update}", _subjects(update)))
        self._expected.clear()

    def record_at(self, node: Account, block: int) -> Record | None:
        """Return a node's record as it was after a block that the trail reaches back to, None without one."""
        record = value_at(self.trail, node, moment(block))
        return record if record and record.last_epoch else None

    def _compare(self, emitted: Update) -> None:
        self.examined += 1
        expected = self._expected.popleft() if self._expected else None
        if emitted != expected:
            given = expected or "no update"
            subjects = (*_subjects(emitted), *(_subjects(expected) if expected else ()))
            self.findings.append(Finding(f"the chain shows {emitted}, the formula gives {given}", subjects))

    def _remember(self, updates: list[Update], since: int) -> None:
        for update in updates:
            if isinstance(update, CredibilityUpdate):
                self.customers.add(update.customer)
            else:
                self.nodes.add(update.node)
                note(self.trail, update.node, since, self.book.record_of(update.node))

    def _cause(self, event: Event, time: int) -> list[Update] | None:
        try:
            return self._replayed(event, time)
        except UnsettledFeedbackError as error:
            self.findings.append(Finding(str(error), (error.node, error.query_id)))
        except UnknownPenaltyError as error:
            self.findings.append(Finding(str(error), (error.node,)))
        return []

    def _replayed(self, event: Event, time: int) -> list[Update] | None:
        book = self.book
        match event:
            case NodeRegistered():
                return book.node_registered(event.node, event.incarnation, time)
            case QuerySettled():
                return book.query_settled(event.query_id, event.nodes, event.observations, time)
            case NodePenalised():
                return self._penalised(event, time)
            case FeedbackGiven():
                return book.feedback_given(event.query_id, event.customer, event.nodes, event.ratings, time)
            case PenaltyReversed():
                return book.penalty_reversed(event.node, event.added, event.epoch, time)
            case _:
                return None

    def _penalised(self, event: NodePenalised, time: int) -> list[Update]:
        epoch, severity = time // self.book.epoch_seconds, Severity(event.severity)
        before = advance(self.book.record_of(event.node), epoch).bad
        updates = self.book.node_penalised(event.node, severity, time)
        added = self.book.record_of(event.node).bad - before
        self.penalty = Penalty(event.node, severity, added, epoch)
        return updates


def _emitted(event: Event) -> Update | None:
    match event:
        case ReputationUpdated():
            return ReputationUpdate(event.node, event.query_id, event.score, event.good, event.bad)
        case CredibilityUpdated():
            return CredibilityUpdate(event.customer, event.credibility)
        case _:
            return None


def _subjects(update: Update) -> tuple[Subject, ...]:
    return (update.customer,) if isinstance(update, CredibilityUpdate) else (update.node, update.query_id)
