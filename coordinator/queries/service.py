"""The query manager's front: what customers ask of queries, and the names that the other rooms call."""

import asyncio
import base64
from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.context import Context
from coordinator.models.queries import CONSTANTS_RANK, Participant, Query, QueryEventRow, StoredShare
from coordinator.queries import repository
from coordinator.queries.complaints import record_loss
from coordinator.queries.errors import AlreadyEnded, NotYet, UnknownQuery
from coordinator.queries.launches import cancel, give_feedback, launch
from coordinator.queries.offers import answer_offer, mark_released, news, pending_offers, pending_releases
from coordinator.queries.proposals import propose
from coordinator.queries.reports import describe_session, record_cleanup, record_failure, record_progress
from coordinator.queries.results import check_header, store_result
from coordinator.queries.statistics import jobs_of, unfinished_of, usage_of
from coordinator.queries.views import query_event, query_view
from coordinator.retries import persistently
from coordinator.wakeups import Topic
from soterone.domain.ids import Account
from soterone.domain.lifecycle import Stage
from soterone.rest.queries import QueryEvent, QueryList, QueryView, ResultView, SealedShare

__all__ = [
    "answer_offer",
    "cancel",
    "check_header",
    "describe_session",
    "events",
    "give_feedback",
    "jobs_of",
    "launch",
    "list_queries",
    "mark_released",
    "news",
    "pending_offers",
    "pending_releases",
    "propose",
    "record_cleanup",
    "record_failure",
    "record_loss",
    "record_progress",
    "result",
    "show",
    "store_result",
    "unfinished_of",
    "usage_of",
]


async def list_queries(context: Context, customer: Account, after: str | None, limit: int) -> QueryList:
    """Return one page of the customer's queries, newest first; `after` is the `next` of the page before."""
    async with context.database.reading() as session:
        before = None if after is None else (await _own(session, customer, after)).created_at
        page = await repository.page_of_customer(session, customer, before, limit + 1)
        participants = await repository.participants_of_many(session, [query.id for query in page])
    shown = page[:limit]
    views = [query_view(query, participants[query.id]) for query in shown]
    return QueryList(queries=views, next=shown[-1].id if len(page) > limit else None)


async def show(context: Context, customer: Account, query_id: str) -> QueryView:
    """Return a query of the customer; UnknownQuery for anybody else's."""
    query, participants = await _with_participants(context, customer, query_id)
    return query_view(query, participants)


async def events(context: Context, customer: Account, query_id: str, after: int) -> AsyncIterator[QueryEvent]:
    """Yield the events behind a sequence and then each new one, without end: the caller ends it.

    UnknownQuery is raised by the first step, and when the query was deleted meanwhile.
    """
    with context.wakeups.listen(Topic.QUERIES, Topic.CHAIN) as bell:
        while True:
            rows = await persistently(
                lambda: _events_after(context, customer, query_id, after),  # noqa: B023 - awaited at once
                harmless=True,
            )
            for row in rows:
                after = row.sequence
                yield query_event(row)
            if not rows:
                await bell.wait(context.limits.event_poll_seconds)


async def _events_after(
    context: Context, customer: Account, query_id: str, after: int
) -> list[QueryEventRow]:
    async with context.database.reading() as session:
        await _own(session, customer, query_id)
        return await repository.events_after(session, query_id, after)


async def result(context: Context, customer: Account, query_id: str) -> ResultView:
    """Return the sealed shares behind the completed query's hash, and the owners' sealed constants."""
    query, _ = await _with_participants(context, customer, query_id)
    if query.status in (Stage.FAILED, Stage.CANCELLED):
        raise AlreadyEnded(f"the query has {query.status} and left no result: {query.failure_sentence}")
    if query.status != Stage.COMPLETED or query.result_hash is None:
        raise NotYet(f"the query is {query.status}; its result is there once it is completed")
    async with context.database.reading() as session:
        stored = await repository.shares_of(session, query_id, query.generation)
    if query.is_restored and not stored:
        raise AlreadyEnded(
            "the query has completed, but the coordinator lost the sealed shares and restored the query from the chain "
            "alone, where they never stood; propose it anew"
        )
    sealed = await asyncio.gather(*(_sealed(context, one) for one in stored))
    return ResultView(
        query_id=query.id,
        generation=query.generation,
        result_hash=query.result_hash,
        shares=[share for share in sealed if share.rank != CONSTANTS_RANK],
        constants=[share for share in sealed if share.rank == CONSTANTS_RANK],
    )


async def _sealed(context: Context, stored: StoredShare) -> SealedShare:
    data = await context.results.get(stored.share_hash)
    return SealedShare(
        node=stored.node,
        rank=stored.rank,
        share_hash=stored.share_hash,
        signature=stored.signature,
        sealed_base64=base64.b64encode(data).decode(),
    )


async def _with_participants(
    context: Context, customer: Account, query_id: str
) -> tuple[Query, list[Participant]]:
    async with context.database.reading() as session:
        query = await _own(session, customer, query_id)
        return query, await repository.participants_of(session, query_id)


async def _own(session: AsyncSession, customer: Account, query_id: str) -> Query:
    query = await repository.get(session, query_id)
    if query is None or query.customer != customer:
        raise UnknownQuery(query_id)
    return query
