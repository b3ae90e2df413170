"""Every score recomputed: what each settlement, feedback and penalty must have changed, against what was emitted."""

from collections import deque
from dataclasses import dataclass, field

from soterone.audit.history import History
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
from soterone.domain.reputation import Severity
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
    """The reputation book after a history; `examined` counts the emitted updates that were recomputed."""

    book: ReputationBook
    examined: int = 0
    contradictions: list[str] = field(default_factory=list)
    _expected: deque[Update] = field(default_factory=deque)

    def apply(self, event: Event, time: int) -> None:
        """Take in the next event with its block's timestamp (seconds)."""
        emitted = _emitted(event)
        if emitted is not None:
            self._compare(emitted)
            return
        caused = self._cause(event, time)
        if caused is not None:
            self.finish()
            self._expected.extend(caused)

    def finish(self) -> None:
        """Complain of every update that should have been emitted by now and was not."""
        self.contradictions += [f"the chain never showed {update}" for update in self._expected]
        self._expected.clear()

    def _compare(self, emitted: Update) -> None:
        self.examined += 1
        expected = self._expected.popleft() if self._expected else None
        if emitted != expected:
            self.contradictions.append(
                f"the chain shows {emitted}, the formula gives {expected or 'no update'}"
            )

    def _cause(self, event: Event, time: int) -> list[Update] | None:
        try:
            return self._replayed(event, time)
        except (UnsettledFeedbackError, UnknownPenaltyError) as error:
            self.contradictions.append(str(error))
            return []

    def _replayed(self, event: Event, time: int) -> list[Update] | None:
        book = self.book
        match event:
            case NodeRegistered():
                return book.node_registered(event.node, event.incarnation, time)
            case QuerySettled():
                return book.query_settled(event.query_id, event.nodes, event.observations, time)
            case NodePenalised():
                return book.node_penalised(event.node, Severity(event.severity), time)
            case FeedbackGiven():
                return book.feedback_given(event.query_id, event.customer, event.nodes, event.ratings, time)
            case PenaltyReversed():
                return book.penalty_reversed(event.node, event.added, event.epoch, time)
            case _:
                return None


def _emitted(event: Event) -> Update | None:
    match event:
        case ReputationUpdated():
            return ReputationUpdate(event.node, event.query_id, event.score, event.good, event.bad)
        case CredibilityUpdated():
            return CredibilityUpdate(event.customer, event.credibility)
        case _:
            return None


def replay_scores(history: History, epoch_seconds: int, week_seconds: int) -> ScoreReplay:
    """Replay a history through the formula; the periods are the contract's constructor parameters."""
    replay = ScoreReplay(ReputationBook(epoch_seconds, week_seconds))
    for event in history.events:
        replay.apply(event, history.time_of(event))
    replay.finish()
    return replay
