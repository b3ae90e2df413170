"""Every query's life as its events tell it, with whatever breaks the rules of the contracts. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from soterone.audit.registry import RegistryReplay
from soterone.audit.report import Finding
from soterone.chain.events import (
    Event,
    FeedbackGiven,
    MPCUpdated,
    QueryCleanup,
    QueryCompleted,
    QueryDispatched,
    QueryFailed,
    QuerySettled,
    QuerySubmitted,
    ReplacementLimit,
)
from soterone.chain.openings import Opening, Roster, Terms
from soterone.chain.records import QueryStatus
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.domain.roles import Role

MOST_PARTICIPANTS = 16
MOST_RUN_SECONDS = 30 * 86_400
MOST_TIMER_SECONDS = 7 * 86_400
CLOCK_TOLERANCE_SECONDS = 600
"""So far the clocks of the chain and of the coordinator may be apart when it says that a query ran too long."""

_NOBODY = Account("0x" + "00" * 20)
_ENDED = (
    QueryStatus.COMPLETED,
    QueryStatus.FAILED,
    QueryStatus.COMPLETED_CLEANED,
    QueryStatus.FAILED_CLEANED,
)


@dataclass(frozen=True, slots=True)
class Settled:
    """A settlement: block time in seconds, observations in percent, and the participants (by index) rated since."""

    at: int
    observations: tuple[int, ...]
    rated: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Windows:
    """Constructor parameters of the ReputationLedger, in seconds: for feedback after a settlement, and of silence after
    which anybody settles."""

    feedback_seconds: int
    silent_settle_seconds: int


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A query after its events so far; `time` (s) is that of its dispatch, after the end that of its end.

    `insider`: the customer is, or operates, a participant.
    """

    opening: Opening
    dispatched_at: int
    dispatched_block: int
    time: int
    insider: bool = False
    status: QueryStatus = QueryStatus.DISPATCHED
    generation: int = 0
    settled: Settled | None = None

    @property
    def customer(self) -> Account:
        """Who ordered it."""
        return self.opening.roster.customer

    @property
    def expires_at(self) -> int:
        """When anybody may close it as abandoned, block time in seconds."""
        terms = self.opening.terms
        grace = terms.result_retry_seconds + terms.cleanup_grace_seconds
        return self.dispatched_at + terms.max_run_seconds + grace

    def may_change(self, time: int, windows: Windows) -> bool:
        """Whether anything can still come of it after a block's time (seconds), ratings included."""
        cleaned = self.status in (QueryStatus.COMPLETED_CLEANED, QueryStatus.FAILED_CLEANED)
        return not cleaned or self.settled is None or time <= self.settled.at + windows.feedback_seconds


@dataclass(frozen=True, slots=True)
class Replaced:
    """A replacement whose draw is to be repeated: the announcement, and the query right before it."""

    event: MPCUpdated
    before: Lifecycle


@dataclass(slots=True)
class LifecycleReplay:
    """Queries by id, every event that no honest ledger would have emitted, and the draws to repeat. `registry` must be
    fed each event first."""

    registry: RegistryReplay
    windows: Windows
    queries: dict[QueryId, Lifecycle] = field(default_factory=dict)
    submitted: dict[QueryId, QuerySubmitted] = field(default_factory=dict)
    replacements: list[Replaced] = field(default_factory=list)
    touched: set[QueryId] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def apply(self, event: Event, time: int) -> None:
        """Take in the next event with its block's timestamp (seconds); others than a query's are passed over."""
        match event:
            case QuerySubmitted():
                self.submitted[event.query_id] = event
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
                self._settle(event, time)
            case FeedbackGiven():
                self._feedback(event, time)

    def finish(self) -> None:
        """Complain of orders that were submitted and never dispatched: the ledger does both at once."""
        for query_id in self.submitted:
            self._complain(query_id, "was submitted and never dispatched")
        self.submitted.clear()

    def _dispatch(self, event: QueryDispatched, time: int) -> None:
        if event.query_id in self.queries:
            self._complain(event.query_id, "was dispatched twice")
            return
        submitted = self.submitted.pop(event.query_id, None)
        if submitted is None or (submitted.customer, submitted.spec_hash) != (
            event.customer,
            event.spec_hash,
        ):
            self._complain(event.query_id, "was dispatched as another order than was submitted")
        terms = Terms(
            hash_bytes(event.spec_hash), hash_bytes(event.result_key_hash), event.max_run_seconds,
            event.result_retry_seconds, event.cleanup_grace_seconds, 0,
        )  # fmt: skip
        opening = Opening(Roster(event.customer, event.owners, event.mpcs), terms)
        insider = self._is_insider(event.customer, (*event.owners, *event.mpcs))
        block = event.position.block_number
        self._write(event.query_id, Lifecycle(opening, time, block, time, insider))
        for problem in self._participants(event):
            self._complain(event.query_id, problem)

    def _participants(self, event: QueryDispatched) -> Iterator[str]:
        for nodes, role in ((event.owners, Role.DATA_OWNER), (event.mpcs, Role.MPC_NODE)):
            numbers = [int(node, 16) for node in nodes]
            if numbers != sorted(set(numbers)):
                yield "names its nodes twice or out of order"
            yield from (
                f"was dispatched to {node}, which was no active {role.name}"
                for node in nodes
                if not self.registry.is_eligible(node, role)
            )
        if len(event.mpcs) != 3 or not event.owners or set(event.mpcs) & set(event.owners):
            yield "was dispatched to another kind of trio"
        if len({self.registry.operator_of(node) for node in event.mpcs}) < len(event.mpcs):
            yield "was dispatched to MPC nodes of one operator"
        timers = (event.result_retry_seconds, event.cleanup_grace_seconds)
        if not 0 < event.max_run_seconds <= MOST_RUN_SECONDS or max(timers) > MOST_TIMER_SECONDS:
            yield "was dispatched with timers that the ledger refuses"

    def _limit(self, event: ReplacementLimit) -> None:
        query = self._running(event.query_id, "was given a replacement limit")
        if query is None:
            return
        terms = replace(query.opening.terms, max_replacements=event.max_replacements)
        if len(query.opening.roster.participants) + event.max_replacements > MOST_PARTICIPANTS:
            self._complain(event.query_id, "may have more participants than the ledger takes")
        self._write(event.query_id, replace(query, opening=replace(query.opening, terms=terms)))

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
        self._check_successor(event, roster)
        self.replacements.append(Replaced(event, query))
        insider = query.insider or self._is_insider(query.customer, (event.new_mpc,))
        opening = query.opening.replaced(event.old_mpc, event.new_mpc)
        changed = replace(query, opening=opening, generation=event.generation, insider=insider)
        self._write(event.query_id, changed)

    def _check_successor(self, event: MPCUpdated, roster: Roster) -> None:
        if event.new_mpc not in event.candidates:
            self._complain(event.query_id, f"took {event.new_mpc}, which was no candidate")
        if not self.registry.is_eligible(event.new_mpc, Role.MPC_NODE):
            self._complain(event.query_id, f"took {event.new_mpc}, which was no active MPC node")
        survivors = {self.registry.operator_of(one) for one in roster.mpcs if one != event.old_mpc}
        if self.registry.operator_of(event.new_mpc) in survivors:
            self._complain(event.query_id, f"took {event.new_mpc}, whose operator has another of the trio")

    def _complete(self, event: QueryCompleted, time: int) -> None:
        query = self._running(event.query_id, "was completed")
        if query is None:
            return
        if event.generation != query.generation:
            self._complain(event.query_id, f"was completed in generation {event.generation}")
        opening = query.opening.completed(hash_bytes(event.result_hash))
        self._write(event.query_id, replace(query, opening=opening, status=QueryStatus.COMPLETED, time=time))

    def _fail(self, event: QueryFailed, time: int) -> None:
        query = self._running(event.query_id, "failed")
        if query is None:
            return
        if event.reason not in set(FailureReason):
            self._complain(event.query_id, f"failed for a reason that there is not: {event.reason}")
        if event.node != _NOBODY and event.node not in query.opening.roster.participants:
            self._complain(event.query_id, f"failed by {event.node}, which took no part")
        if event.reason == FailureReason.ABANDONED and time < query.expires_at:
            self._complain(event.query_id, f"was abandoned {query.expires_at - time} s too early")
        due = query.dispatched_at + query.opening.terms.max_run_seconds
        if event.reason == FailureReason.TIMED_OUT and time < due - CLOCK_TOLERANCE_SECONDS:
            self._complain(event.query_id, f"was said to run too long {due - time} s before it could")
        self._write(event.query_id, replace(query, status=QueryStatus.FAILED, time=time))

    def _clean(self, query_id: QueryId) -> None:
        cleaned = {
            QueryStatus.COMPLETED: QueryStatus.COMPLETED_CLEANED,
            QueryStatus.FAILED: QueryStatus.FAILED_CLEANED,
        }
        query = self.queries.get(query_id)
        if query is None or query.status not in cleaned:
            self._complain(query_id, "was cleaned up out of turn")
            return
        self._write(query_id, replace(query, status=cleaned[query.status]))

    def _settle(self, event: QuerySettled, time: int) -> None:
        query = self.queries.get(event.query_id)
        if query is None or query.status not in _ENDED or query.settled:
            self._complain(event.query_id, "was settled out of turn")
            return
        if event.nodes != query.opening.roster.participants:
            self._complain(event.query_id, "was settled for nodes that did not take part")
        if any(one > 100 for one in event.observations) or len(event.observations) != len(event.nodes):
            self._complain(event.query_id, "was settled by observations that are no percentages")
        self._write(event.query_id, replace(query, settled=Settled(time, event.observations)))

    def _feedback(self, event: FeedbackGiven, time: int) -> None:
        query = self.queries.get(event.query_id)
        if query is None or query.settled is None:
            self._complain(event.query_id, "was rated before it was settled")
            return
        for problem in self._rating(event, query, query.settled, time):
            self._complain(event.query_id, problem)
        participants = query.opening.roster.participants
        rated = {participants.index(node) for node in event.nodes if node in participants}
        settled = replace(query.settled, rated=query.settled.rated | rated)
        self._write(event.query_id, replace(query, settled=settled))

    def _rating(self, event: FeedbackGiven, query: Lifecycle, settled: Settled, time: int) -> Iterator[str]:
        participants = query.opening.roster.participants
        if event.customer != query.customer:
            yield f"was rated by {event.customer}, who did not order it"
        if not set(event.nodes) <= set(participants):
            yield "was rated for nodes that did not take part"
        elif len(set(event.nodes)) < len(event.nodes) or settled.rated & {
            participants.index(node) for node in event.nodes
        }:
            yield "had a node rated twice"
        if time > settled.at + self.windows.feedback_seconds:
            yield "was rated after the time for it"
        if any(self._is_insider(event.customer, (node,)) for node in event.nodes) and query.insider:
            yield f"had a node rated by its own operator {event.customer}"

    def _is_insider(self, customer: Account, nodes: tuple[Account, ...]) -> bool:
        return any(customer in (node, self.registry.operator_of(node)) for node in nodes)

    def _running(self, query_id: QueryId, what: str) -> Lifecycle | None:
        query = self.queries.get(query_id)
        if query is None or query.status is not QueryStatus.DISPATCHED:
            self._complain(query_id, f"{what} while it did not run")
            return None
        return query

    def _write(self, query_id: QueryId, query: Lifecycle) -> None:
        self.queries[query_id] = query
        self.touched.add(query_id)

    def _complain(self, query_id: QueryId, what: str) -> None:
        self.findings.append(Finding(f"query {query_id} {what}", (query_id,)))
