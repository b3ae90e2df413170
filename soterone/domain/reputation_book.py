"""The reputation ledger as anybody rebuilds it: replays the chain's events in order and says which updates must
follow each of them. Pure: block timestamps are handed in, nothing is read.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from soterone.domain.ids import Account, QueryId
from soterone.domain.reputation import (
    Record,
    Severity,
    Standing,
    advance,
    apply_feedback,
    apply_observation,
    apply_penalty,
    count_feedback,
    feedback_counts,
    renew,
    score,
    take_back,
)

NO_QUERY = QueryId("0x" + "00" * 32)
"""The query id of updates that no query caused: penalties, reversals and renewals."""


@dataclass(frozen=True, slots=True)
class ReputationUpdate:
    """A `ReputationUpdated` that must stand on chain; all 1e9 fixed point."""

    node: Account
    query_id: QueryId
    score: int
    good: int
    bad: int


@dataclass(frozen=True, slots=True)
class CredibilityUpdate:
    """A `CredibilityUpdated` that must stand on chain, 1e9 fixed point."""

    customer: Account
    credibility: int


Update = ReputationUpdate | CredibilityUpdate


class UnsettledFeedbackError(ValueError):
    """Feedback about a query or node that was never settled: no honest chain holds such an event."""

    def __init__(self, query_id: QueryId, node: Account) -> None:
        super().__init__(f"feedback for {node} in query {query_id}, which was never settled for that node")
        self.query_id, self.node = query_id, node


class UnknownPenaltyError(ValueError):
    """A reversal of what no penalty added, or of what was taken back before."""

    def __init__(self, node: Account, added: int, epoch: int) -> None:
        super().__init__(
            f"reversal for {node} of {added} that no penalty of epoch {epoch} added and that still stands"
        )
        self.node, self.added, self.epoch = node, added, epoch


@dataclass(slots=True)
class ReputationBook:
    """Every record and standing after the events so far.

    Feed each event once, in chain order, with its block's timestamp (seconds); each call returns the updates that
    the chain must show right after it, in that order. Accounts and ids are compared as given: use one spelling.
    """

    epoch_seconds: int
    week_seconds: int
    records: dict[Account, Record] = field(default_factory=dict)
    standings: dict[Account, Standing] = field(default_factory=dict)
    _incarnations: dict[Account, int] = field(default_factory=dict)
    _observations: dict[QueryId, dict[Account, int]] = field(default_factory=dict)
    _penalties: Counter[tuple[Account, int, int]] = field(default_factory=Counter)

    def node_registered(self, node: Account, incarnation: int, timestamp: int) -> list[Update]:
        """Replay `NodeRegistered`: an account that comes back loses its good standing and keeps the bad."""
        self._incarnations[node] = incarnation
        record = self.record_of(node)
        if record.last_epoch == 0 or record.incarnation == incarnation % 256:
            return []
        return [self._write(node, NO_QUERY, renew(record, self._epoch(timestamp), incarnation))]

    def query_settled(
        self, query_id: QueryId, nodes: Sequence[Account], observations: Sequence[int], timestamp: int
    ) -> list[Update]:
        """Replay `QuerySettled`; observations in percent, one for each node."""
        epoch = self._epoch(timestamp)
        self._observations[query_id] = dict(zip(nodes, observations, strict=True))
        return [
            self._write(node, query_id, apply_observation(self.record_of(node), epoch, observed))
            for node, observed in zip(nodes, observations, strict=True)
        ]

    def feedback_given(
        self,
        query_id: QueryId,
        customer: Account,
        nodes: Sequence[Account],
        ratings: Sequence[int],
        timestamp: int,
    ) -> list[Update]:
        """Replay `FeedbackGiven`; ratings in percent. A feedback beyond the week's eight changes nothing.

        Raises:
            UnsettledFeedbackError: the query was not settled for one of the nodes.
        """
        observed = list(self._observed(query_id, nodes))
        week, epoch = timestamp // self.week_seconds, self._epoch(timestamp)
        standing = self.standings.get(customer, Standing())
        if not feedback_counts(standing, week):
            return []
        updates: list[Update] = [
            self._write(
                node, query_id, apply_feedback(self.record_of(node), epoch, rating, standing.credibility)
            )
            for node, rating in zip(nodes, ratings, strict=True)
        ]
        self.standings[customer] = count_feedback(standing, week, ratings, observed)
        return [*updates, CredibilityUpdate(customer, self.standings[customer].credibility)]

    def node_penalised(self, node: Account, severity: Severity, timestamp: int) -> list[Update]:
        """Replay `NodePenalised`: an upheld claim."""
        record, epoch = self.record_of(node), self._epoch(timestamp)
        penalised = apply_penalty(record, epoch, severity)
        self._penalties[node, penalised.bad - advance(record, epoch).bad, epoch] += 1
        return [self._write(node, NO_QUERY, penalised)]

    def penalty_reversed(self, node: Account, added: int, epoch: int, timestamp: int) -> list[Update]:
        """Replay `PenaltyReversed`: what is left of `added`, bad evidence of a penalty of `epoch`, goes again.

        Raises:
            UnknownPenaltyError: no such penalty stands.
        """
        if not self._penalties[node, added, epoch]:
            raise UnknownPenaltyError(node, added, epoch)
        self._penalties[node, added, epoch] -= 1
        if node not in self.records:
            return []
        return [
            self._write(node, NO_QUERY, take_back(self.records[node], self._epoch(timestamp), added, epoch))
        ]

    def record_of(self, node: Account) -> Record:
        """The record as the chain stores it; that of a newcomer when nothing was ever observed."""
        known = self.records.get(node)
        return known or replace(Record(), incarnation=self._incarnations.get(node, 0) % 256)

    def score_of(self, node: Account, timestamp: int) -> int:
        """The node's score as of a time, decayed."""
        return score(self.record_of(node), self._epoch(timestamp))

    def credibility_of(self, customer: Account) -> int:
        """The customer's credibility; that of a newcomer before the first feedback that counts."""
        return self.standings.get(customer, Standing()).credibility

    def _observed(self, query_id: QueryId, nodes: Sequence[Account]) -> Iterable[int]:
        observations = self._observations.get(query_id, {})
        for node in nodes:
            if node not in observations:
                raise UnsettledFeedbackError(query_id, node)
            yield observations[node]

    def _epoch(self, timestamp: int) -> int:
        return timestamp // self.epoch_seconds

    def _write(self, node: Account, query_id: QueryId, record: Record) -> ReputationUpdate:
        if record.last_epoch:
            self.records[node] = record
        else:
            del self.records[node]
        return ReputationUpdate(node, query_id, record.score, record.good, record.bad)
