"""`rebuild`: what the chain knows of a real history comes back into an empty database; what it never knew does not."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from fixtures.database import empty_postgres_url
from fixtures.query_world import World, eventually
from sqlalchemy import delete, select
from sqlmodel import SQLModel, col

from coordinator import migrations
from coordinator.chain.services import FollowerService
from coordinator.database import Database
from coordinator.models.chain import ChainLog, TrailBlock
from coordinator.models.nodes import Node
from coordinator.models.queries import Participant, Query
from coordinator.queries import service
from coordinator.queries.errors import AlreadyEnded
from coordinator.queries.facts import situation_of
from coordinator.rebuilding.service import rebuild
from soterone.crypto.messages import Feedback, sign
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.lifecycle import decide
from soterone.rest.queries import FeedbackRequest

OF_QUERIES = (
    "id", "customer", "status", "generation", "chain_generation", "spec_hash", "result_key_hash", "salt",
    "max_run_seconds", "result_retry_seconds", "cleanup_grace_seconds", "max_replacements", "order_deadline",
    "signature", "dispatched_tx", "end_tx", "result_hash", "failure_reason", "failure_node", "cleanup_tx",
)  # fmt: skip
OF_PARTICIPANTS = (
    "query_id",
    "account",
    "role",
    "rank",
    "operator",
    "joined_generation",
    "lost_generation",
    "rating",
)
OF_NODES = ("account", "operator", "roles", "version", "incarnation", "tls_key_hash", "profile_hash")


@pytest_asyncio.fixture
async def empty(world: World, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A second, migrated database of the same kind."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'second.sqlite'}"
    if not world.database.is_sqlite:
        url = empty_postgres_url(request.getfixturevalue("postgres"))
    async with Database(url) as database:
        await migrations.migrate(database)
        yield database


async def rate(world: World, query_id: str, nodes: tuple[Account, ...]) -> None:
    message = Feedback(hash_bytes(query_id), nodes, (90,) * len(nodes), 2**33)
    message = replace(message, deadline=(await world.context.chain.head()).timestamp + 3600)
    signature = sign(world.customer, world.context.domain("ReputationLedger"), message)
    request = FeedbackRequest(
        nodes=list(nodes),
        ratings=list(message.ratings),
        deadline=message.deadline,
        signature=f"0x{signature.hex()}",
    )
    await service.give_feedback(world.context, world.customer.account, query_id, request)


async def history(world: World) -> list[str]:
    """One query completed, cleaned, settled and rated; one that goes on."""
    finished = await world.propose()
    await world.launch(finished)
    await world.run_to_the_end(finished)
    await world.clean(finished)
    await world.until(finished.query_id, lambda view: view.cleaned_up)
    await eventually(lambda: row(world.database, finished.query_id), lambda one: one.settled_at is not None)
    await rate(world, finished.query_id, tuple(Account(one) for one in finished.order.mpcs[:2]))
    await eventually(lambda: world.kinds(finished.query_id), lambda kinds: "feedback-given" in kinds)
    running = await world.propose()
    await world.launch(running)
    return [finished.query_id, running.query_id]


async def row(database: Database, query_id: str) -> Query:
    async with database.reading() as session:
        return await session.get_one(Query, query_id)


async def values(
    database: Database, kind: type[SQLModel], names: tuple[str, ...], key: str, keys: list[str]
) -> list[tuple[object, ...]]:
    columns = [getattr(kind, name) for name in names]
    async with database.reading() as session:
        found = await session.execute(select(*columns).where(getattr(kind, key).in_(keys)))
        return sorted((tuple(one) for one in found), key=str)


async def test_what_the_chain_knows_is_as_it_was(world: World, empty: Database) -> None:
    queries = await history(world)
    report = await rebuild(empty, world.context.chain, 1, lambda words: None)
    assert report.queries >= len(queries)
    assert report.nodes >= len(world.nodes)
    logged = tuple(column.key for column in SQLModel.metadata.tables["chain_logs"].columns)
    for kind, names, key, keys in (
        (Query, OF_QUERIES, "id", queries),
        (Participant, OF_PARTICIPANTS, "query_id", queries),
        (ChainLog, logged, "query_id", queries),
        (Node, OF_NODES, "account", list(world.nodes)),
    ):
        before = await values(world.database, kind, names, key, keys)
        assert before
        after = [
            tuple("dispatched" if one == "running" else one for one in columns)
            for columns in await values(empty, kind, names, key, keys)
        ]
        assert after == before, kind
    settled = (await row(empty, queries[0])).settled_at
    assert settled is not None
    async with empty.reading() as session:
        newest = await session.scalar(select(TrailBlock).order_by(col(TrailBlock.number).desc()).limit(1))
    assert newest is not None
    assert newest.hash == (await world.context.chain.block(newest.number)).hash


async def test_customers_are_shown_the_truth_of_a_restored_query(world: World, empty: Database) -> None:
    finished, running = await history(world)
    await rebuild(empty, world.context.chain, 1, lambda words: None)
    context = replace(world.context, database=empty)
    view = await service.show(context, world.customer.account, finished)
    assert (view.spec, view.name, view.status, view.cleaned_up) == (None, "", "completed", True)
    assert view.spec_hash == (await world.view(finished)).spec_hash
    listed = await service.list_queries(context, world.customer.account, None, 10)
    assert {one.id for one in listed.queries} == {finished, running}
    with pytest.raises(AlreadyEnded, match="lost the sealed shares"):
        await service.result(context, world.customer.account, finished)
    kinds = []
    async for event in service.events(context, world.customer.account, finished, 0):
        kinds.append(event.kind)
        if event.kind == "rebuilt":
            break
    assert kinds[:4] == ["dispatched", "completed", "cleanup-announced", "settled"]
    assert "feedback-given" in kinds


async def test_nobody_is_blamed_while_the_nodes_of_a_restored_query_have_not_enrolled_again(
    world: World, empty: Database
) -> None:
    _, running = await history(world)
    await rebuild(empty, world.context.chain, 1, lambda words: None)
    async with empty.transaction() as session:
        query = await session.get_one(Query, running)
        facts = (await situation_of(session, query, 0)).facts
        assert (facts.lost_owners, facts.silent_mpcs) == ((), ())
        assert decide(facts, (query.dispatched_at or 0.0) + 60) == ()


async def test_the_follower_goes_on_where_the_rebuild_ended(world: World, empty: Database) -> None:
    _, running = await history(world)
    await rebuild(empty, world.context.chain, 1, lambda words: None)
    proposal = await world.view(running)
    for rank, node in enumerate([one for one in proposal.participants if one.role == "mpc node"]):
        await world.deliver(running, Account(node.account), rank)
    for node in [one for one in proposal.participants if one.role == "data owner"]:
        await world.deliver(running, Account(node.account), 255)
    await world.until(running, lambda view: view.status == "completed")
    await FollowerService(replace(world.context, database=empty)).follower.catch_up()
    assert (await row(empty, running)).status == "completed"
    assert (await row(empty, running)).result_hash == (await row(world.database, running)).result_hash


async def test_a_database_with_rows_is_refused(world: World, empty: Database) -> None:
    async with empty.transaction() as session:
        session.add(TrailBlock(follower="coordinator", number=1, hash="0x" + "0" * 64))
    with pytest.raises(migrations.NotEmpty, match="make a new database"):
        await rebuild(empty, world.context.chain, 1, lambda words: None)
    async with empty.transaction() as session:
        await session.execute(delete(TrailBlock))
    await rebuild(empty, world.context.chain, 1, lambda words: None)
