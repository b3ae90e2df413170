"""Whether the coordinator was away, so that what came late is not held against those who could not deliver it."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.models.nodes import ListeningLease
from coordinator.models.queries import Query
from coordinator.queries.limits import QueryLimits


async def note_look(session: AsyncSession, query: Query, now: float, limits: QueryLimits) -> None:
    """Note that a running query is looked at, and be patient with it when nobody looked or listened for a while."""
    if query.dispatched_at is None or query.end_tx is not None:
        return
    unseen = query.looked_at is not None and now - query.looked_at > limits.absence_seconds
    if unseen or await _is_deaf(session, now, limits.absence_seconds):
        query.patient_until = now + limits.return_patience_seconds
    query.looked_at = now


async def _is_deaf(session: AsyncSession, now: float, after_seconds: float) -> bool:
    listened = await session.scalar(select(func.max(ListeningLease.heard_at)))
    return listened is not None and now - listened > after_seconds
