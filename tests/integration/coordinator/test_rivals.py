"""Two followers, senders and reconcilers over one PostgreSQL, all at work on the same queries: nothing is doubled."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import pytest_asyncio
from fixtures.database import TEMPLATE, empty_postgres_url
from fixtures.query_world import World, eventually
from sqlalchemy import select
from sqlmodel import col

from coordinator.chain.services import FollowerService, SenderService
from coordinator.database import Database
from coordinator.models.chain import OutboxAttempt, OutboxEntry
from coordinator.models.queries import Query, QueryEventRow
from coordinator.queries.tasks import Reconciler
from coordinator.wakeups import Wakeups
from scripts.devnet.postgres import Postgres


@pytest.fixture
def database_url(postgres: Postgres) -> str:
    return empty_postgres_url(postgres, TEMPLATE)


@pytest_asyncio.fixture
async def rivals(world: World, database_url: str) -> AsyncIterator[World]:
    """The world with a second follower, sender and reconciler that share nothing with the first but the database."""
    async with AsyncExitStack() as held:
        database = await held.enter_async_context(Database(database_url))
        context = replace(world.context, database=database, wakeups=Wakeups())
        stop = asyncio.Event()
        services = (FollowerService(context), SenderService(context, world.signer), Reconciler(context))
        async with asyncio.TaskGroup() as tasks:
            for one in services:
                tasks.create_task(one.run(stop))
            yield world
            stop.set()


async def settled(world: World, query_id: str) -> bool:
    async with world.database.reading() as session:
        query = await session.get_one(Query, query_id)
        return query.settled_at is not None and query.cleaned_up


async def test_every_query_goes_through_once(rivals: World) -> None:
    world = rivals
    proposals = [await world.propose() for _ in range(2)]
    for proposal in proposals:
        await world.launch(proposal)
    await asyncio.gather(*(world.run_to_the_end(proposal) for proposal in proposals))
    for proposal in proposals:
        await eventually(
            lambda one=proposal: world.view(one.query_id), lambda view: view.status == "completed"
        )
        await world.clean(proposal)
        await eventually(lambda one=proposal: settled(world, one.query_id), bool)
        await check_once(world, proposal.query_id)
    await check_nonces(world)


async def check_once(world: World, query_id: str) -> None:
    async with world.database.reading() as session:
        events = list(
            await session.scalars(
                select(QueryEventRow)
                .where(col(QueryEventRow.query_id) == query_id)
                .order_by(col(QueryEventRow.sequence))
            )
        )
        sent = await session.scalars(
            select(col(OutboxEntry.action)).where(col(OutboxEntry.business_id) == query_id)
        )
        assert sorted(sent) == ["cleanup", "complete", "dispatch", "settle"]
    assert [one.sequence for one in events] == list(range(1, len(events) + 1))
    kinds = Counter(one.kind for one in events)
    for kind in ("proposed", "reserved", "signed", "dispatched", "completed", "settled", "cleaned-up"):
        assert kinds[kind] == 1, kinds


async def check_nonces(world: World) -> None:
    """Every nonce was given to one transaction only."""
    async with world.database.reading() as session:
        found = await session.execute(select(col(OutboxAttempt.nonce), col(OutboxAttempt.entry)).distinct())
        nonces = Counter(nonce for nonce, _ in found)
    assert set(nonces.values()) == {1}
