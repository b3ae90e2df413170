"""Every query's life as its events tell it, with whatever breaks the rules. Pure."""

from dataclasses import dataclass, field, replace

from soterone.audit.history import History
from soterone.chain.events import (
    Event,
    FeedbackGiven,
    MPCUpdated,
    QueryCleanup,
    QueryCompleted,
    QueryDispatched,
    QueryFailed,
    QuerySettled,
    ReplacementLimit,
)
from soterone.chain.openings import Opening, Roster, Terms
from soterone.chain.records import QueryStatus
from soterone.domain.ids import Account, QueryId, hash_bytes

_ENDED = (
    QueryStatus.COMPLETED,
    QueryStatus.FAILED,
    QueryStatus.COMPLETED_CLEANED,
    QueryStatus.FAILED_CLEANED,
)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A query after its events so far; `time` (s) is that of its dispatch, after the end that of its end."""

    opening: Opening
    status: QueryStatus = QueryStatus.DISPATCHED
    generation: int = 0
    time: int = 0
    settled: bool = False

    @property
    def customer(self) -> Account:
        """Who ordered it."""
        return self.opening.roster.customer


@dataclass(slots=True)
class LifecycleReplay:
    """Queries by id, and every event that no honest ledger would have emitted."""

    queries: dict[QueryId, Lifecycle] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)

    def apply(self, event: Event, time: int) -> None:
        """Take in the next event with its block's timestamp (seconds); others than a query's are passed over."""
        match event:
            case QueryDispatched():
                self._dispatch(event, time)
            case ReplacementLimit():
                self._limit(event)
            case MPCUpdated():
                self._replace(event)
            case QueryCompleted():
                self._complete(event, time)
            case QueryFailed():
                self._fail(event, time)
            case QueryCleanup():
                self._clean(event.query_id)
            case QuerySettled():
                self._settle(event)
            case FeedbackGiven():
                self._feedback(event)

    def _dispatch(self, event: QueryDispatched, time: int) -> None:
        if event.query_id in self.queries:
            self._complain(event.query_id, "was dispatched twice")
            return
        terms = Terms(
            hash_bytes(event.spec_hash), hash_bytes(event.result_key_hash), event.max_run_seconds,
            event.result_retry_seconds, event.cleanup_grace_seconds, 0,
        )  # fmt: skip
        opening = Opening(Roster(event.customer, event.owners, event.mpcs), terms)
        self.queries[event.query_id] = Lifecycle(opening, time=time)

    def _limit(self, event: ReplacementLimit) -> None:
        query = self._running(event.query_id, "was given a replacement limit")
        if query:
            terms = replace(query.opening.terms, max_replacements=event.max_replacements)
            self.queries[event.query_id] = replace(query, opening=replace(query.opening, terms=terms))

    def _replace(self, event: MPCUpdated) -> None:
        query = self._running(event.query_id, "had an MPC node replaced")
        if query is None:
            return
        roster, limit = query.opening.roster, query.opening.terms.max_replacements
        if event.old_mpc not in roster.mpcs or event.new_mpc in roster.participants:
            self._complain(event.query_id, f"replaced {event.old_mpc} by {event.new_mpc} against the rules")
            return
        if event.generation != query.generation + 1 or event.generation > limit:
            self._complain(event.query_id, f"jumped to generation {event.generation}")
        if event.new_mpc not in event.candidates:
            self._complain(event.query_id, f"took {event.new_mpc}, which was no candidate")
        opening = query.opening.replaced(event.old_mpc, event.new_mpc)
        self.queries[event.query_id] = replace(query, opening=opening, generation=event.generation)

    def _complete(self, event: QueryCompleted, time: int) -> None:
        query = self._running(event.query_id, "was completed")
        if query is None:
            return
        if event.generation != query.generation:
            self._complain(event.query_id, f"was completed in generation {event.generation}")
        opening = query.opening.completed(hash_bytes(event.result_hash))
        self.queries[event.query_id] = replace(
            query, opening=opening, status=QueryStatus.COMPLETED, time=time
        )

    def _fail(self, event: QueryFailed, time: int) -> None:
        query = self._running(event.query_id, "failed")
        if query:
            self.queries[event.query_id] = replace(query, status=QueryStatus.FAILED, time=time)

    def _clean(self, query_id: QueryId) -> None:
        cleaned = {
            QueryStatus.COMPLETED: QueryStatus.COMPLETED_CLEANED,
            QueryStatus.FAILED: QueryStatus.FAILED_CLEANED,
        }
        query = self.queries.get(query_id)
        if query is None or query.status not in cleaned:
            self._complain(query_id, "was cleaned up out of turn")
            return
        self.queries[query_id] = replace(query, status=cleaned[query.status])

    def _settle(self, event: QuerySettled) -> None:
        query = self.queries.get(event.query_id)
        if query is None or query.status not in _ENDED or query.settled:
            self._complain(event.query_id, "was settled out of turn")
            return
        if event.nodes != query.opening.roster.participants:
            self._complain(event.query_id, "was settled for nodes that did not take part")
        self.queries[event.query_id] = replace(query, settled=True)

    def _feedback(self, event: FeedbackGiven) -> None:
        query = self.queries.get(event.query_id)
        if query is None or not query.settled:
            self._complain(event.query_id, "was rated before it was settled")
        elif event.customer != query.customer:
            self._complain(event.query_id, f"was rated by {event.customer}, who did not order it")
        elif not set(event.nodes) <= set(query.opening.roster.participants):
            self._complain(event.query_id, "was rated for nodes that did not take part")

    def _running(self, query_id: QueryId, what: str) -> Lifecycle | None:
        query = self.queries.get(query_id)
        if query is None or query.status is not QueryStatus.DISPATCHED:
            self._complain(query_id, f"{what} while it did not run")
            return None
        return query

    def _complain(self, query_id: QueryId, what: str) -> None:
        self.contradictions.append(f"query {query_id} {what}")


def replay_lifecycles(history: History) -> LifecycleReplay:
    """Replay a chain's events."""
    replay = LifecycleReplay()
    for event in history.events:
        replay.apply(event, history.time_of(event))
    return replay
