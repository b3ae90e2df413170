"""What participants report of a running query. Every function may be called again with the same report.

A node reports only on queries that it takes part in; a report of a generation that was replaced is refused.
"""

import math

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.context import Context
from coordinator.models.queries import CONSTANTS_RANK, FailureNote, Participant, Query
from coordinator.queries import repository
from coordinator.queries.errors import NotParticipant, NotYet, SpecDoesNotFit, StaleGeneration, WrongSignature
from coordinator.queries.facts import DELIVERY_PHASE
from coordinator.queries.schemas import CleanupNotice, FailureNotice, Progress, Session
from coordinator.queries.sessions import session_of
from coordinator.wakeups import Topic
from soterone.crypto.messages import CleanupDone, Domain, Message, SignatureError, recover
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.domain.lifecycle import SHARES_NEEDED, Stage
from soterone.domain.roles import Role
from soterone.domain.text import printable

PHASES = ("accepted", "linked", "align", "share", "train", DELIVERY_PHASE)
_DETAIL_LENGTH, _SENTENCE_LENGTH = 200, 500
_EVENT_STEP = 0.05
_MOST_EVENTS = 5_000
_OWN_REASONS = (
    FailureReason.TOO_FEW_COMMON_ROWS,
    FailureReason.ENGINE_ERROR,
    FailureReason.POLICY_REFUSED,
    FailureReason.TIMED_OUT,
    FailureReason.BAD_DATA,
    FailureReason.QUARANTINED,
)
"""What a node can say of itself; that others are lost or that a query is over, the coordinator finds itself."""

__all__ = [
    "CONSTANTS_RANK",
    "check_generation",
    "check_present",
    "check_signature",
    "describe_session",
    "part_of",
    "record_cleanup",
    "record_failure",
    "record_progress",
]


async def describe_session(context: Context, node: Account, query_id: QueryId) -> Session:
    """Return the description of a query to one of its participants; NotParticipant to anybody else."""
    async with context.database.reading() as session:
        _, participant = await part_of(session, query_id, node)
        check_present(participant)
        description = await session_of(session, query_id)
    if description is None:
        raise NotParticipant(f"query {query_id} is not known here")
    return description


async def record_progress(context: Context, node: Account, progress: Progress) -> None:
    """Keep a participant's progress; an older attempt or an earlier phase changes nothing."""
    if progress.phase not in PHASES or not math.isfinite(progress.fraction):
        raise SpecDoesNotFit(f"unknown phase {progress.phase!r}; phases are {', '.join(PHASES)}")
    async with context.database.transaction() as session:
        query, participant = await part_of(session, progress.query_id, node, lock=True)
        check_generation(query, progress.generation)
        check_present(participant)
        if not Stage(query.status).terminal:
            await _advance(session, query, participant, progress)
    context.wakeups.notify(Topic.QUERIES)


async def _advance(session: AsyncSession, query: Query, participant: Participant, progress: Progress) -> None:
    now = await repository.now(session)
    participant.heard_at = now
    fraction = min(1.0, max(0.0, progress.fraction))
    if not _is_ahead(participant, progress, fraction):
        return
    tell = _worth_telling(participant, progress, fraction)
    participant.generation, participant.attempt = progress.generation, progress.attempt
    participant.phase, participant.fraction = progress.phase, fraction
    participant.detail = printable(progress.detail, _DETAIL_LENGTH)
    delivers = query.training_ended_at is None and progress.phase == DELIVERY_PHASE
    if delivers and await _training_ended(session, query):
        query.training_ended_at = now
    if query.status in (Stage.DISPATCHED, Stage.RECOVERING):
        await repository.wake(session, query)
    if tell and await repository.last_sequence(session, query.id) < _MOST_EVENTS:
        data = {
            "node": participant.account,
            "phase": progress.phase,
            "fraction": round(fraction, 3),
            "detail": participant.detail,
        }
        await repository.add_event(session, query.id, "progress", data)


async def _training_ended(session: AsyncSession, query: Query) -> bool:
    """So many of the present trio deliver as make a result: no node ends the training by its word alone."""
    trio = [
        one
        for one in await repository.participants_of(session, query.id)
        if one.role == Role.MPC_NODE and one.lost_generation is None and one.generation == query.generation
    ]
    return sum(one.phase == DELIVERY_PHASE for one in trio) >= SHARES_NEEDED


def _is_ahead(participant: Participant, progress: Progress, fraction: float) -> bool:
    def place(generation: int, attempt: int, phase: str, of_phase: float) -> tuple[int, int, int, float]:
        return generation, attempt, PHASES.index(phase) if phase else -1, of_phase

    known = place(participant.generation, participant.attempt, participant.phase, participant.fraction)
    return place(progress.generation, progress.attempt, progress.phase, fraction) > known


def _worth_telling(participant: Participant, progress: Progress, fraction: float) -> bool:
    same = (participant.generation, participant.attempt, participant.phase) == (
        progress.generation,
        progress.attempt,
        progress.phase,
    )
    steps = int(fraction / _EVENT_STEP) - int(participant.fraction / _EVENT_STEP)
    return not same or steps > 0 or fraction == 1.0


async def record_failure(context: Context, node: Account, notice: FailureNotice) -> None:
    """Keep a participant's report of a failure; the reconciler decides what follows. The node's first one counts."""
    async with context.database.transaction() as session:
        query, participant = await part_of(session, notice.query_id, node, lock=True)
        check_generation(query, notice.generation)
        check_present(participant)
        key = (notice.query_id, notice.generation, node)
        if Stage(query.status).terminal or await session.get(FailureNote, key) is not None:
            return
        now = await repository.now(session)
        participant.heard_at = now
        sentence = printable(notice.sentence, _SENTENCE_LENGTH) or notice.reason.sentence
        reason = _believed(participant, notice.reason)
        session.add(
            FailureNote(
                query_id=notice.query_id,
                generation=notice.generation,
                node=node,
                reason=int(reason),
                sentence=sentence,
                heard=notice.heard,
                reported_at=now,
            )
        )
        data = {"node": node, "reason": int(reason), "sentence": sentence}
        await repository.add_event(session, query.id, "failure-reported", data)
        await repository.wake(session, query)
    context.wakeups.notify(Topic.QUERIES)


def _believed(participant: Participant, reason: FailureReason) -> FailureReason:
    engines = participant.role == Role.MPC_NODE or reason is not FailureReason.QUARANTINED
    return reason if reason in _OWN_REASONS and engines else FailureReason.ENGINE_ERROR


async def record_cleanup(context: Context, node: Account, notice: CleanupNotice) -> None:
    """Keep a node's signed promise that nothing of a query is left with it: of one that has ended, or replaced it."""
    async with context.database.transaction() as session:
        query, participant = await part_of(session, notice.query_id, node, lock=True)
        message = CleanupDone(hash_bytes(notice.query_id), notice.deadline)
        check_signature(context.domain("QueryLedger"), message, notice.signature, node)
        if not Stage(query.status).terminal and participant.lost_generation is None:
            raise NotYet(f"query {notice.query_id} has not ended, so there is nothing to clean up yet")
        if participant.cleaned_at is not None:
            return
        participant.cleaned_at = await repository.now(session)
        participant.cleanup_signature = f"0x{notice.signature.hex()}"
        await repository.add_event(session, query.id, "node-cleaned-up", {"node": node})
        await repository.note_cleaned(session, query)
    context.wakeups.notify(Topic.QUERIES)


async def part_of(
    session: AsyncSession, query_id: QueryId, node: Account, *, lock: bool = False
) -> tuple[Query, Participant]:
    """Return a query, locked on request, and the node's part in it; NotParticipant says the same whether or not the
    query exists."""
    query = await repository.get(session, query_id, lock=lock)
    participant = await repository.participant(session, query_id, node)
    if query is None or participant is None:
        raise NotParticipant(f"node {node} takes no part in query {query_id}")
    return query, participant


def check_present(participant: Participant) -> None:
    """NotParticipant for a node that was replaced."""
    if participant.lost_generation is not None:
        raise NotParticipant(
            f"node {participant.account} was replaced in generation {participant.lost_generation} of this query; "
            "it destroys what it has of it and says so"
        )


def check_generation(query: Query, generation: int) -> None:
    """StaleGeneration unless the generation is the query's present one."""
    if generation != query.generation:
        raise StaleGeneration(
            f"query {query.id} is in generation {query.generation}; what belongs to generation {generation} "
            "is not taken any more"
        )


def check_signature(domain: Domain, message: Message, signature: bytes, account: Account) -> None:
    """WrongSignature unless the account signed exactly this message."""
    what = type(message).__name__
    try:
        signer = recover(domain, message, signature)
    except SignatureError as error:
        raise WrongSignature(f"the signature of {what} cannot be used: {error}") from error
    if signer != account:
        raise WrongSignature(
            f"this signature is not {account}'s over exactly this {what} for contract {domain.contract} "
            f"on chain {domain.chain_id}; sign again with that account and that chain"
        )
