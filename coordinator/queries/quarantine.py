"""What becomes of a query whose reconciling raises again and again: it ends, and never takes the others with it."""

import structlog
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.chain import outbox
from coordinator.context import Context
from coordinator.models.queries import Query
from coordinator.queries import repository
from coordinator.queries.lapses import lapse
from coordinator.queries.orders import opening_of
from coordinator.wakeups import Topic
from soterone.chain.calls import CallBuilder
from soterone.domain.failures import FailureReason
from soterone.domain.ids import QueryId
from soterone.domain.lifecycle import Announcement, Stage

_log = structlog.get_logger()

MOST_FAILED_STEPS = 5
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 60.0
_SENTENCE = f"The coordinator failed {MOST_FAILED_STEPS} times at this query, so it was quarantined; its log says why."


async def note_failed_step(context: Context, query_id: str) -> None:
    """Count a step that raised and look again later and later; after the last one end the query, or set it aside."""
    async with context.database.transaction() as session:
        query = await repository.get(session, query_id, lock=True)
        if query is None:
            return
        query.failed_steps += 1
        pause = min(_FIRST_PAUSE_SECONDS * 2**query.failed_steps, _LONGEST_PAUSE_SECONDS)
        query.due_at = await repository.now(session) + pause
        hopeless = query.failed_steps >= MOST_FAILED_STEPS
    if hopeless:
        await _quarantine(context, query_id)


async def _quarantine(context: Context, query_id: str) -> None:
    try:
        async with context.database.transaction() as session:
            query = await repository.get(session, query_id, lock=True)
            if query is not None:
                await _end(session, CallBuilder(context.chain.contracts.addresses), query)
    except Exception:
        _log.exception("query_set_aside", query_id=query_id)
        context.metrics.queries_set_aside.inc()
        async with context.database.transaction() as session:
            await session.execute(update(Query).where(col(Query.id) == query_id).values(due_at=None))
        return
    _log.error("query_quarantined", query_id=query_id)
    context.wakeups.notify(Topic.OUTBOX, Topic.QUERIES)


async def _end(session: AsyncSession, calls: CallBuilder, query: Query) -> None:
    """Write the ending that the query lacks; raises when even that cannot be composed."""
    if query.end_tx is not None:
        key = outbox.key(query.id, Announcement.CLEANUP)
        await outbox.enqueue(session, key, calls.cleanup(QueryId(query.id)))
    elif query.dispatched_at is not None:
        opening = opening_of(query, await repository.participants_of(session, query.id))
        key = outbox.key(query.id, Announcement.FAIL, query.generation)
        call = calls.fail(QueryId(query.id), opening, FailureReason.QUARANTINED)
        if await outbox.enqueue_anew(session, key, call, _LONGEST_PAUSE_SECONDS):
            query.announced_reason, query.failure_sentence = int(FailureReason.QUARANTINED), _SENTENCE
            told = {"reason": query.announced_reason, "sentence": _SENTENCE, "node": None}
            await repository.add_event(session, query.id, "failing", told)
    elif not query.signature and not Stage(query.status).terminal:
        await lapse(session, query, Stage.FAILED, _SENTENCE)
