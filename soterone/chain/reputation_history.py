"""How a node's standing came about: every step of its score and of its registration, with what caused it.

The contracts keep only the last state of a node; their events keep the way there, for everybody to read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError
from soterone.chain.events import (
    Event,
    FeedbackGiven,
    LogPosition,
    NodePenalised,
    NodeRegistered,
    NodeSuspended,
    NodeUnregistered,
    PenaltyReversed,
    QuerySettled,
    ReputationUpdated,
)
from soterone.domain.ids import Account, Hash32, QueryId
from soterone.domain.reputation import Record
from soterone.domain.reputation_book import NO_QUERY

STEPS: Final[tuple[type[Event], ...]] = (
    ReputationUpdated,
    NodeRegistered,
    NodeUnregistered,
    NodeSuspended,
)
"""Events of a node that are steps of its history."""

CLAIMS: Final[tuple[type[Event], ...]] = (NodePenalised, PenaltyReversed)
"""Events of a node that cause the update right after them."""

JUDGEMENTS: Final[tuple[type[Event], ...]] = (QuerySettled, FeedbackGiven)
"""Events of a query that cause updates later in the same transaction."""

_RANGE_BLOCKS = 5_000


class Cause(StrEnum):
    """What a step is."""

    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    SUSPENDED = "suspended"
    READMITTED = "readmitted"
    SETTLED = "settled"
    RATED = "rated"
    PENALISED = "penalised"
    REVERSED = "reversed"
    RENEWED = "renewed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. What the cause does not have is None.

    Attributes:
        time: of the block, seconds since 1970.
        query_id: of a settlement or rating.
        percent: what was observed, or the rating.
        customer: who rated.
        severity: of a penalty, 1 to 3.
        reversed_evidence: what the reversed penalty had added, 1e9 fixed point.
        incarnation: of a registration or its end.
        score, good, bad: R' and evidence after the step, 1e9 fixed point.
    """

    position: LogPosition
    time: int
    cause: Cause
    query_id: QueryId | None = None
    percent: int | None = None
    customer: Account | None = None
    severity: int | None = None
    reversed_evidence: int | None = None
    incarnation: int | None = None
    score: int | None = None
    good: int | None = None
    bad: int | None = None


class UnexplainedUpdateError(ChainError):
    """A score changed, and the event that caused it is missing."""

    def __init__(self, node: Account, block_number: int) -> None:
        super().__init__(
            f"The chain's RPC shows that the score of {node} changed in block {block_number}, and not why. "
            "It leaves events out: use another RPC."
        )
        self.node, self.block_number = node, block_number


class HistoryContradictedError(ChainError):
    """The events of a node do not end in what the contract holds."""

    def __init__(self, node: Account) -> None:
        super().__init__(
            f"The history of {node} that the chain's RPC gives does not end in the record that the contract holds. "
            "It leaves events out or invents them: use another RPC."
        )
        self.node = node


def steps_of(node: Account, events: Iterable[Event], times: Mapping[int, int]) -> tuple[Step, ...]:
    """Return a node's steps, oldest first.

    `events` are those of the node and of the queries that moved it, in any order; `times` has the timestamp of each
    block by number. UnexplainedUpdateError when the cause of an update is not among them.
    """
    judgements: dict[tuple[Hash32, QueryId], Event] = {}
    claim: Event | None = None
    found: list[Step] = []
    for event in sorted(events, key=lambda one: one.position):
        time = times[event.position.block_number]
        match event:
            case QuerySettled() | FeedbackGiven():
                judgements[event.position.transaction_hash, event.query_id] = event
            case NodePenalised() | PenaltyReversed():
                claim = event
            case ReputationUpdated(query_id=query_id) if query_id != NO_QUERY:
                judgement = judgements.get((event.position.transaction_hash, query_id))
                found.append(_judged(event, judgement, time))
            case ReputationUpdated():
                found.append(_claimed(event, claim if _follows(event, claim) else None, time))
            case NodeRegistered() | NodeUnregistered() | NodeSuspended():
                found.append(_registry_step(event, time))
    return tuple(found)


async def read_history(
    chain: ChainClient, node: Account, limit: int, until_block: int | None = None
) -> tuple[Step, ...]:
    """Read the last `limit` steps of a node, up to a block or the head, from the chain itself, newest first.

    ChainError when the chain cannot be read, UnexplainedUpdateError or HistoryContradictedError when it contradicts
    itself.
    """
    until = (await chain.head()).number if until_block is None else until_block
    found: list[Event] = []
    last = until
    while last >= chain.contracts.start_block and sum(isinstance(one, STEPS) for one in found) < limit:
        first = max(chain.contracts.start_block, last - _RANGE_BLOCKS + 1)
        found = [*await _events(chain, node, first, last), *found]
        last = first - 1
    numbers = sorted({one.position.block_number for one in found})
    blocks = await chain.blocks(numbers)
    times = {block.number: block.timestamp for block in blocks if block is not None}
    steps = steps_of(node, found, times)
    await _check_end(chain, node, steps, until)
    return steps[::-1][:limit]


async def _events(chain: ChainClient, node: Account, first: int, last: int) -> list[Event]:
    """The node's own steps and claims, and what was judged of the queries that moved it.

    Events that name it in another place are left out: it may be somebody's operator or a query's customer, and a query
    moves other nodes too.
    """
    own = [one for one in await chain.events_about([node], first, last) if _is_of(node, one)]
    queries = sorted({one.query_id for one in own if isinstance(one, ReputationUpdated)} - {NO_QUERY})
    judgements = await chain.events_about(queries, first, last)
    return [*own, *(one for one in judgements if isinstance(one, JUDGEMENTS))]


def _is_of(node: Account, event: Event) -> bool:
    """Whether an event is a step or a claim of this node."""
    match event:
        case ReputationUpdated() | NodeRegistered() | NodeUnregistered() | NodeSuspended():
            return event.node == node
        case NodePenalised() | PenaltyReversed():
            return event.node == node
    return False


async def _check_end(chain: ChainClient, node: Account, steps: tuple[Step, ...], block_number: int) -> None:
    record = Record(*await chain.record_of(node, block_number))
    ends = [(step.score, step.good, step.bad) for step in steps if step.score is not None]
    unheard = record.last_epoch == 0
    held = (Record().score, 0, 0) if unheard else (record.score, record.good, record.bad)
    if (ends[-1] if ends else (Record().score, 0, 0)) != held:
        raise HistoryContradictedError(node)


def _follows(event: Event, claim: Event | None) -> bool:
    """Whether a claim is the log right before an update."""
    if claim is None:
        return False
    before, after = claim.position, event.position
    return (before.block_hash, before.log_index + 1) == (after.block_hash, after.log_index)


def _judged(update: ReputationUpdated, judgement: Event | None, time: int) -> Step:
    percent = _percent(judgement, update.node)
    if percent is None:
        raise UnexplainedUpdateError(update.node, update.position.block_number)
    customer = judgement.customer if isinstance(judgement, FeedbackGiven) else None
    return Step(
        update.position,
        time,
        Cause.SETTLED if customer is None else Cause.RATED,
        query_id=update.query_id,
        percent=percent,
        customer=customer,
        score=update.score,
        good=update.good,
        bad=update.bad,
    )


def _percent(judgement: Event | None, node: Account) -> int | None:
    match judgement:
        case QuerySettled():
            return dict(zip(judgement.nodes, judgement.observations, strict=True)).get(node)
        case FeedbackGiven():
            return dict(zip(judgement.nodes, judgement.ratings, strict=True)).get(node)
    return None


def _claimed(update: ReputationUpdated, claim: Event | None, time: int) -> Step:
    match claim:
        case NodePenalised():
            cause = Cause.PENALISED
        case PenaltyReversed():
            cause = Cause.REVERSED
        case _:
            cause = Cause.RENEWED
    return Step(
        update.position,
        time,
        cause,
        severity=claim.severity if isinstance(claim, NodePenalised) else None,
        reversed_evidence=claim.added if isinstance(claim, PenaltyReversed) else None,
        score=update.score,
        good=update.good,
        bad=update.bad,
    )


def _registry_step(event: NodeRegistered | NodeUnregistered | NodeSuspended, time: int) -> Step:
    match event:
        case NodeSuspended():
            return Step(event.position, time, Cause.SUSPENDED if event.suspended else Cause.READMITTED)
        case NodeRegistered():
            return Step(event.position, time, Cause.REGISTERED, incarnation=event.incarnation)
        case NodeUnregistered():
            return Step(event.position, time, Cause.UNREGISTERED, incarnation=event.incarnation)
