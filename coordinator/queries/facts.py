"""What is known of a query, gathered from the rows for `soterone.domain.lifecycle.decide`."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.chain import outbox
from coordinator.liveness import is_online
from coordinator.models.chain import ChainLog, OutboxEntry, TrailBlock
from coordinator.models.nodes import NodeLiveness
from coordinator.models.queries import (
    CONSTANTS_RANK,
    LossComplaint,
    Participant,
    Query,
    Replacement,
    StoredShare,
)
from coordinator.queries import repository
from coordinator.queries.orders import opening_of
from coordinator.resources import service as resources
from soterone.chain.outbox import RowState
from soterone.domain.failures import OWN_DOING, FailureReason
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.lifecycle import (
    SHARES_NEEDED,
    Announcement,
    Conduct,
    QueryFacts,
    ReportedFailure,
    Stage,
)
from soterone.domain.recovery import Complaint, Loss, OpenReplacement, lot_of
from soterone.domain.roles import Role
from soterone.domain.spec import QuerySpec

DELIVERY_PHASE = "deliver"
"""What an MPC node reports once its training has ended and only its share is to come."""

LONE_SHARE_SECONDS = 30.0
"""So long a single share says that training has ended and its node is not needed any more: later it may be junk."""

_BLAMED = OWN_DOING | {FailureReason.OWNER_LOST, FailureReason.NO_SUCCESSOR}
"""Reasons that are the doing of the node that a failure names; an engine may fail by anybody's fault."""

_ONCE = (Announcement.DISPATCH, Announcement.CLEANUP, Announcement.SETTLE)


@dataclass(frozen=True, slots=True)
class Situation:
    """A query's rows, read in one transaction."""

    query: Query
    participants: list[Participant]
    shares: list[StoredShare]
    sent: list[OutboxEntry]
    complaints: list[LossComplaint]
    replacements: list[Replacement]
    facts: QueryFacts

    @property
    def open_replacement(self) -> Replacement | None:
        """The loss whose successor the chain does not know yet."""
        return _open(self.query, self.replacements)

    def share_hashes(self) -> list[str | None]:
        """Return the hashes of the stored result shares by rank, None where one is absent."""
        hashes = {share.rank: share.share_hash for share in self.shares}
        return [hashes.get(rank) for rank in range(3)]


async def situation_of(
    session: AsyncSession, query: Query, final_depth_blocks: int, *, seeded: bool = False
) -> Situation:
    """Read everything that bears on a query; `seeded`: the caller has read the open replacement's seed."""
    participants = await repository.participants_of(session, query.id)
    stored = await repository.shares_of(session, query.id, query.generation)
    here = {one.account for one in participants if one.lost_generation is None}
    shares = [share for share in stored if share.node in here]
    sent = await outbox.rows_of(session, query.id)
    offline = set() if query.is_restored else await _offline(session, participants)
    ranked = [share for share in shares if share.rank != CONSTANTS_RANK]
    complaints = (
        [] if query.is_restored else await repository.complaints_of(session, query.id, query.generation)
    )
    replacements = await repository.replacements_of(session, query.id)
    times = sorted(share.stored_at for share in ranked)
    assured = _is_assured(query, participants, offline, ranked)
    believed = await _are_believed(session, query, times)
    facts = QueryFacts(
        stage=Stage(query.status),
        generation=query.generation,
        reserved_until=query.expires_at,
        max_run_seconds=query.max_run_seconds,
        dispatched_at=query.dispatched_at,
        progressed=_has_progressed(query, participants),
        lost_owners=() if assured or believed else _lost_owners(query, participants, offline),
        silent_mpcs=() if assured else _silent_mpcs(participants, offline, ranked if believed else ()),
        result_assured=assured,
        complaints=_complaints(participants, complaints),
        replacement=_replacement(_open(query, replacements), seeded),
        replacements_left=query.max_replacements - query.generation,
        successor_wait_seconds=_successor_wait_seconds(query),
        lot=lot_of(hash_bytes(query.id), query.generation),
        behind_chain=query.chain_generation < query.generation,
        replacement_refused=_replacement_refused(query, sent),
        failure=await _failure(session, query, participants),
        shares=frozenset(share.rank for share in ranked),
        second_share_at=times[SHARES_NEEDED - 1] if len(times) >= SHARES_NEEDED else None,
        constants_missing=_missing_constants(participants, shares, offline),
        announced=_announced(query, sent),
        dispatch_refused=_dispatch_refused(query, sent),
        ended_on_chain=query.end_tx is not None,
        final=await _is_final(session, query, final_depth_blocks),
        cleaned_on_chain=query.cleanup_tx is not None,
        reservation_held=await resources.is_held(session, query.id),
        closing_seconds=query.result_retry_seconds + query.cleanup_grace_seconds,
        patient_until=query.patient_until or 0.0,
    )
    return Situation(query, participants, shares, sent, complaints, replacements, facts)


def _successor_wait_seconds(query: Query) -> int:
    return (
        0 if query.is_restored else QuerySpec.model_validate_json(query.spec_json).mpc.successor_wait_seconds
    )


def conduct_of(situation: Situation) -> Conduct:
    """Return what was seen of the participants of an ended query; ENGINE_ERROR and the like blame nobody.

    Of replaced nodes only those pay whose silence was recorded here; of a restored query nothing was seen.
    """
    query = situation.query
    reason = None if query.status == Stage.COMPLETED else FailureReason(query.failure_reason or 0)
    roster = opening_of(query, situation.participants).roster
    crashed = {Account(one.lost) for one in situation.replacements if one.blamed}
    delivered = frozenset(Account(share.node) for share in situation.shares)
    return Conduct(
        owners=roster.owners,
        mpcs=roster.mpcs,
        replaced=roster.lost,
        unblamed=frozenset(roster.lost) - crashed,
        delivered=frozenset(roster.mpcs) if query.is_restored else delivered,
        failure=reason,
        blamed=Account(query.failure_node) if query.failure_node and reason in _BLAMED else None,
    )


def _present(participants: Sequence[Participant], role: Role) -> tuple[Account, ...]:
    wanted = [one for one in participants if one.role == role and one.lost_generation is None]
    return tuple(Account(one.account) for one in sorted(wanted, key=lambda one: one.rank))


def _open(query: Query, replacements: Sequence[Replacement]) -> Replacement | None:
    return next((one for one in replacements if one.generation == query.generation + 1), None)


def _replacement(row: Replacement | None, seeded: bool) -> OpenReplacement | None:
    if row is None:
        return None
    return OpenReplacement(Loss(Account(row.lost), row.blamed), seeded, row.vacant_since)


def _complaints(
    participants: Sequence[Participant], complaints: Sequence[LossComplaint]
) -> tuple[Complaint, ...]:
    trio = _present(participants, Role.MPC_NODE)
    return tuple(
        Complaint(Account(one.reporter), Account(one.lost), one.unlinked, one.reported_at)
        for one in complaints
        if one.lost in trio
    )


def _has_progressed(query: Query, participants: Sequence[Participant]) -> bool:
    return any(
        one.phase not in ("", "accepted") and one.generation == query.generation for one in participants
    )


async def _offline(session: AsyncSession, participants: Sequence[Participant]) -> set[str]:
    accounts = {one.account for one in participants if one.lost_generation is None}
    online = await session.scalars(
        select(col(NodeLiveness.account)).where(col(NodeLiveness.account).in_(accounts), is_online())
    )
    return accounts - set(online)


def _lost_owners(query: Query, participants: Sequence[Participant], offline: set[str]) -> tuple[Account, ...]:
    if query.training_ended_at is not None:
        return ()
    return tuple(one for one in _present(participants, Role.DATA_OWNER) if one in offline)


def _is_assured(
    query: Query, participants: Sequence[Participant], offline: set[str], ranked: Sequence[StoredShare]
) -> bool:
    """Two nodes that have delivered, or are online and have only to deliver, are enough."""
    trained = {
        one.account
        for one in participants
        if one.phase == DELIVERY_PHASE and one.generation == query.generation and one.account not in offline
    }
    trio = set(_present(participants, Role.MPC_NODE))
    return len(trio & (trained | {share.node for share in ranked})) >= SHARES_NEEDED


async def _are_believed(session: AsyncSession, query: Query, stored_at: Sequence[float]) -> bool:
    """Whether the shares that are here speak for those to come: nobody can look into a sealed one."""
    if not stored_at:
        return False
    return await repository.now(session) < max(stored_at[0] + LONE_SHARE_SECONDS, query.patient_until or 0.0)


def _silent_mpcs(
    participants: Sequence[Participant], offline: set[str], ranked: Sequence[StoredShare]
) -> tuple[Account, ...]:
    gone = offline - {share.node for share in ranked}
    return tuple(one for one in _present(participants, Role.MPC_NODE) if one in gone)


async def _failure(
    session: AsyncSession, query: Query, participants: Sequence[Participant]
) -> ReportedFailure | None:
    """Name whose doing it was, if anybody's: a successor was drawn without being asked, so it may decline."""
    note = await repository.first_failure(session, query.id, query.generation)
    if note is None:
        return None
    reason = FailureReason(note.reason)
    drawn = {one.account for one in participants if one.joined_generation}
    declined = reason is FailureReason.POLICY_REFUSED and note.node in drawn
    blamed = Account(note.node) if reason in _BLAMED and not (declined or note.heard) else None
    return ReportedFailure(blamed, reason, note.sentence, note.reported_at)


def _missing_constants(
    participants: Sequence[Participant], shares: Sequence[StoredShare], offline: set[str]
) -> int:
    owners = set(_present(participants, Role.DATA_OWNER)) - offline
    return len(owners - {share.node for share in shares if share.rank == CONSTANTS_RANK})


def _announced(query: Query, sent: Sequence[OutboxEntry]) -> frozenset[Announcement]:
    """What is on its way; a settlement that somebody else made stands on chain already."""
    settled = () if query.settled_at is None else (Announcement.SETTLE,)
    return frozenset(settled) | frozenset(
        Announcement(row.action)
        for row in sent
        if row.action in list(Announcement)
        and row.state != RowState.REVERTED
        and (row.generation == query.generation or row.action in _ONCE)
    )


def _replacement_refused(query: Query, sent: Sequence[OutboxEntry]) -> bool:
    return any(
        row.action == Announcement.REPLACE
        and row.state == RowState.REVERTED
        and row.generation == query.chain_generation
        for row in sent
    )


def _dispatch_refused(query: Query, sent: Sequence[OutboxEntry]) -> str | None:
    """A query that stands on chain already was dispatched by its customer: its event is on the way."""
    refused = [row for row in sent if row.action == Announcement.DISPATCH and row.state == RowState.REVERTED]
    if query.dispatched_at is not None or not refused or refused[0].error_name == "QueryLedgerWrongStatus":
        return None
    return refused[0].error


async def _is_final(session: AsyncSession, query: Query, depth_blocks: int) -> bool:
    if query.end_tx is None:
        return False
    ended = await session.scalar(
        select(func.max(ChainLog.block_number)).where(
            col(ChainLog.query_id) == query.id, col(ChainLog.transaction_hash) == query.end_tx
        )
    )
    head = await session.scalar(select(func.max(TrailBlock.number)))
    return ended is not None and max(head or 0, ended) - ended >= depth_blocks
