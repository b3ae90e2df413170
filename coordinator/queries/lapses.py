"""How a query ends that never stood on chain: nobody signed it, its customer took it back, or the chain refused it."""

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.models.queries import Query
from coordinator.queries import offers, repository
from coordinator.resources import service as resources
from soterone.domain.failures import FailureReason
from soterone.domain.lifecycle import Stage


async def lapse(session: AsyncSession, query: Query, stage: Stage, sentence: str) -> None:
    """End the query, free its nodes and tell the customer why; nothing of it is on chain."""
    query.status = stage
    query.failure_reason = int(FailureReason.CANCELLED) if stage is Stage.CANCELLED else 0
    query.failure_sentence = sentence[:500]
    query.ended_at = await repository.now(session)
    query.cleaned_up = True
    query.due_at = None
    await offers.release(session, query.id)
    await resources.release(session, query.id)
    data = {"reason": query.failure_reason, "sentence": query.failure_sentence}
    await repository.add_event(session, query.id, stage, data)
