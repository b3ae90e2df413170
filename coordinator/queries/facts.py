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
from coordinator.models.queries import CONSTANTS_RANK, Participant, Query, StoredShare
from coordinator.queries import repository
from coordinator.resources import service as resources
from soterone.chain.outbox import RowState
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.domain.lifecycle import (
    SHARES_NEEDED,
    Announcement,
    Conduct,
    QueryFacts,
    ReportedFailure,
    Stage,
)
from soterone.domain.roles import Role

_BLAMED = (
    FailureReason.OWNER_LOST,
    FailureReason.NO_SUCCESSOR,
    FailureReason.POLICY_REFUSED,
    FailureReason.BAD_DATA,
)
"""Reasons that are the doing of the node that a failure names; an engine may fail by anybody's fault."""

_ONCE = (Announcement.DISPATCH, Announcement.CLEANUP, Announcement.SETTLE)


@dataclass(frozen=True, slots=True)
class Situation:
    """A query's rows, read in one transaction."""

    query: Query
    participants: list[Participant]
    shares: list[StoredShare]
    sent: list[OutboxEntry]
    facts: QueryFacts

    def share_hashes(self) -> list[str | None]:
        """Return the hashes of the stored result shares by rank, None where one is absent."""
        hashes = {share.rank: share.share_hash for share in self.shares}
        return [hashes.get(rank) for rank in range(3)]


async def situation_of(session: AsyncSession, query: Query, final_depth_blocks: int) -> Situation:
    """Read everything that bears on a query."""
    participants = await repository.participants_of(session, query.id)
    shares = await repository.shares_of(session, query.id, query.generation)
    sent = await outbox.rows_of(session, query.id)
    offline = await _offline(session, participants)
    ranked = [share for share in shares if share.rank != CONSTANTS_RANK]
    lost_owners = _lost_owners(query, participants, offline)
    lost_mpcs = _lost_mpcs(query, participants, offline, ranked)
    times = sorted(share.stored_at for share in ranked)
    facts = QueryFacts(
        stage=Stage(query.status),
        generation=query.generation,
        reserved_until=query.expires_at,
        max_run_seconds=query.max_run_seconds,
        dispatched_at=query.dispatched_at,
        progressed=any(one.phase not in ("", "accepted") for one in participants),
        lost_owners=lost_owners,
        lost_mpcs=lost_mpcs,
        failure=await _failure(session, query, explained=bool(lost_mpcs or (lost_owners and not ranked))),
        shares=frozenset(share.rank for share in ranked),
        second_share_at=times[SHARES_NEEDED - 1] if len(times) >= SHARES_NEEDED else None,
        constants_missing=_missing_constants(participants, shares, offline),
        announced=_announced(query, sent),
        dispatch_refused=_dispatch_refused(query, sent),
        ended_on_chain=query.end_tx is not None,
        final=await _is_final(session, query, final_depth_blocks),
        cleaned_on_chain=query.cleanup_tx is not None,
        reservation_held=await resources.is_held(session, query.id),
    )
    return Situation(query, participants, shares, sent, facts)


def conduct_of(situation: Situation) -> Conduct:
    """Return what was seen of the participants of an ended query; ENGINE_ERROR and the like blame nobody."""
    query = situation.query
    reason = None if query.status == Stage.COMPLETED else FailureReason(query.failure_reason or 0)
    mpcs = _accounts(situation.participants, Role.MPC_NODE, lost=False)
    return Conduct(
        owners=_accounts(situation.participants, Role.DATA_OWNER, lost=False),
        mpcs=mpcs,
        replaced=_accounts(situation.participants, Role.MPC_NODE, lost=True),
        delivered=frozenset(Account(share.node) for share in situation.shares),
        failure=reason,
        blamed=Account(query.failure_node) if query.failure_node and reason in _BLAMED else None,
    )


def _accounts(participants: Sequence[Participant], role: Role, *, lost: bool) -> tuple[Account, ...]:
    wanted = [one for one in participants if one.role == role and (one.lost_generation is not None) == lost]
    return tuple(Account(one.account) for one in sorted(wanted, key=lambda one: one.rank))


async def _offline(session: AsyncSession, participants: Sequence[Participant]) -> set[str]:
    accounts = {one.account for one in participants if one.lost_generation is None}
    online = await session.scalars(
        select(col(NodeLiveness.account)).where(col(NodeLiveness.account).in_(accounts), is_online())
    )
    return accounts - set(online)


def _lost_owners(query: Query, participants: Sequence[Participant], offline: set[str]) -> tuple[Account, ...]:
    if query.training_ended_at is not None:
        return ()
    return tuple(one for one in _accounts(participants, Role.DATA_OWNER, lost=False) if one in offline)


def _lost_mpcs(
    query: Query, participants: Sequence[Participant], offline: set[str], ranked: Sequence[StoredShare]
) -> tuple[Account, ...]:
    """After the training, two nodes that have delivered or still can are enough."""
    mpcs = _accounts(participants, Role.MPC_NODE, lost=False)
    delivered = {share.node for share in ranked}
    lost = tuple(one for one in mpcs if one in offline and one not in delivered)
    enough = len(mpcs) - len(lost) >= SHARES_NEEDED
    return () if query.training_ended_at is not None and enough else lost


async def _failure(session: AsyncSession, query: Query, *, explained: bool) -> ReportedFailure | None:
    """An engine's error that a lost node explains is that node's loss; others name whose doing it was, if anybody's."""
    note = await repository.first_failure(session, query.id, query.generation)
    if note is None or (explained and note.reason == FailureReason.ENGINE_ERROR):
        return None
    reason = FailureReason(note.reason)
    return ReportedFailure(Account(note.node) if reason in _BLAMED else None, reason, note.sentence)


def _missing_constants(
    participants: Sequence[Participant], shares: Sequence[StoredShare], offline: set[str]
) -> int:
    owners = set(_accounts(participants, Role.DATA_OWNER, lost=False)) - offline
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
