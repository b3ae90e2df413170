"""How often nodes and datasets were chosen, and how that ended. Counts queries that were dispatched."""

import json
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped
from sqlmodel import col

from coordinator.models.queries import Participant, Query
from coordinator.queries.repository import UNFINISHED
from soterone.domain.lifecycle import Stage
from soterone.domain.roles import Role
from soterone.rest.catalog import UsageStatistics


@dataclass(frozen=True, slots=True)
class Job:
    """One dispatched query in a node's history."""

    query_id: str
    role: Role
    status: Stage
    dispatched_at: float
    ended_at: float | None


async def usage_of(session: AsyncSession, ids: Collection[str]) -> dict[str, UsageStatistics]:
    """Return the statistics of nodes (by account) and datasets (by id); those never chosen have zeros."""
    usage = {one: UsageStatistics() for one in ids}
    accounts = [one for one in ids if one.startswith("0x")]
    datasets = [one for one in ids if not one.startswith("0x")]
    if accounts:
        usage |= await _grouped(session, col(Participant.account), col(Participant.account).in_(accounts))
    if datasets:
        wanted = {json.dumps([one]): one for one in datasets}
        found = await _grouped(
            session, col(Participant.datasets_json), col(Participant.datasets_json).in_(wanted)
        )
        usage |= {wanted[text]: statistics for text, statistics in found.items()}
    return usage


async def _grouped(
    session: AsyncSession, by: Mapped[str], condition: ColumnElement[bool]
) -> dict[str, UsageStatistics]:
    def count(stage: Stage) -> ColumnElement[int]:
        return func.sum(case((col(Query.status) == stage, 1), else_=0))

    rows = await session.execute(
        select(by, func.count(), count(Stage.COMPLETED), count(Stage.FAILED))
        .join(Query, col(Query.id) == col(Participant.query_id))
        .where(condition, col(Query.dispatched_at).is_not(None))
        .group_by(by)
    )
    return {
        one: UsageStatistics(chosen=chosen, completed=int(completed), failed=int(failed))
        for one, chosen, completed, failed in rows
    }


async def jobs_of(session: AsyncSession, node: str, limit: int = 100) -> list[Job]:
    """Return a node's dispatched queries, newest first."""
    rows = await session.execute(
        select(Participant, Query)
        .join(Query, col(Query.id) == col(Participant.query_id))
        .where(col(Participant.account) == node, col(Query.dispatched_at).is_not(None))
        .order_by(col(Query.dispatched_at).desc())
        .limit(limit)
    )
    return [
        Job(query.id, Role(part.role), Stage(query.status), query.dispatched_at or 0.0, query.ended_at)
        for part, query in rows
    ]


async def unfinished_of(session: AsyncSession, account: str) -> int:
    """Return how many unfinished or not cleaned-up queries an account takes part in or ordered."""
    takes_part = select(col(Participant.query_id)).where(
        col(Participant.account) == account, col(Participant.cleaned_at).is_(None)
    )
    mine = (col(Query.customer) == account) & col(Query.status).in_(UNFINISHED)
    theirs = col(Query.id).in_(takes_part) & (
        col(Query.status).in_(UNFINISHED) | col(Query.cleaned_up).is_(False)
    )
    found = await session.scalar(select(func.count()).select_from(Query).where(mine | theirs))
    return int(found or 0)
