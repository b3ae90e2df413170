"""Eight blocks vanish at each step of a node's and a query's life: what they held is sent again, once, unchanged."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fixtures.chain import Anvil
from fixtures.database import sqlite_url
from fixtures.query_world import World, eventually, open_world
from fixtures.settlements import settlement_of
from sqlalchemy import select
from sqlmodel import col

from coordinator.chain import outbox
from coordinator.database import Database
from coordinator.housekeeping import Housekeeper
from coordinator.models.chain import ChainLog, OutboxEntry
from coordinator.models.nodes import Node
from coordinator.queries import service
from coordinator.queries.schemas import FailureNotice
from coordinator.wakeups import Topic
from soterone.chain.calls import CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.events import MPCUpdated, NodeRegistered, TermsChanged
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Unregistration, sign
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId
from soterone.domain.roles import Role
from soterone.rest.queries import Proposal

DEPTH_BLOCKS = 8
STEPS = ("dispatched", "replaced", "completed", "failed", "settled")


@pytest.fixture
async def world(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer, tmp_path: Path
) -> AsyncIterator[World]:
    """A coordinator at work on a chain of the test's own, whose contracts no reorganisation here reaches."""
    own_anvil.rpc("anvil_mine", hex(DEPTH_BLOCKS))
    async with (
        Database(sqlite_url(tmp_path)) as database,
        open_world(database, own_chain, coordinator_signer, tmp_path) as opened,
    ):
        await opened.populate()
        yield opened


async def lead_to(world: World, step: str) -> Proposal:
    """Take a query to a step of its life."""
    proposal = await world.propose()
    await world.launch(proposal)
    owner, lost = Account(proposal.order.owners[0]), Account(proposal.order.mpcs[1])
    match step:
        case "replaced":
            await world.disconnect(lost)
            await world.complain(proposal.query_id, owner, lost)
            await world.until_mined(proposal.query_id, lambda view: view.generation == 1)
        case "failed":
            notice = FailureNotice(QueryId(proposal.query_id), 0, FailureReason.BAD_DATA, "No.")
            await service.record_failure(world.context, owner, notice)
            await world.until(proposal.query_id, lambda view: view.status == "failed")
        case "completed":
            await world.run_to_the_end(proposal)
        case "settled":
            await world.run_to_the_end(proposal)
            await world.clean(proposal)
            await eventually(lambda: world.kinds(proposal.query_id), lambda kinds: "settled" in kinds)
    return proposal


async def until_quiet(world: World) -> list[OutboxEntry]:
    """Wait until every transaction stands in a block of the present chain, and return them."""

    async def rows() -> list[OutboxEntry]:
        async with world.database.reading() as session:
            return list(await session.scalars(select(OutboxEntry).order_by(col(OutboxEntry.id))))

    async def standing() -> list[OutboxEntry]:
        found = await rows()
        blocks = await world.context.chain.blocks([one.block_number or 0 for one in found])
        here = [block and block.hash == one.block_hash for one, block in zip(found, blocks, strict=True)]
        return found if all(here) else []

    return await eventually(standing, bool)


async def until_followed(world: World) -> list[tuple[str, str, str]]:
    """Wait until the coordinator's logs are exactly the chain's, and return them: name, transaction, query."""
    chain = world.context.chain

    async def both() -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
        async with world.database.reading() as session:
            statement = select(ChainLog).order_by(col(ChainLog.block_number), col(ChainLog.log_index))
            logs = list(await session.scalars(statement))
        head = await chain.head()
        events = await chain.events_between(chain.contracts.start_block, head.number)
        return (
            [(log.name, log.transaction_hash, log.block_hash) for log in logs],
            [(type(one).__name__, one.position.transaction_hash, one.position.block_hash) for one in events],
        )

    return (await eventually(both, lambda seen: seen[0] == seen[1]))[0]


@pytest.mark.parametrize("step", STEPS)
async def test_a_query_goes_on_where_it_was(world: World, own_anvil: Anvil, step: str) -> None:
    proposal = await lead_to(world, step)
    query = QueryId(proposal.query_id)
    sent, logs = await until_quiet(world), await until_followed(world)
    before = await world.view(query)
    own_anvil.rpc("anvil_reorg", DEPTH_BLOCKS, [])

    again = await until_quiet(world)
    kept = {one.key: (one.transaction_hash, bytes(one.data)) for one in sent}
    assert kept.items() <= {one.key: (one.transaction_hash, bytes(one.data)) for one in again}.items()
    followed = await until_followed(world)
    assert Counter(name for name, *_ in logs) <= Counter(name for name, *_ in followed)
    once = Counter(name for name, *_ in followed if name.startswith(("Query", "MPC")))
    assert set(once.values()) <= {1}, once

    standing = {before.status} if before.result_hash or step == "failed" else {before.status, "dispatched"}
    view = await world.until(query, lambda view: view.status in standing)
    assert (view.generation, view.result_hash) == (before.generation, before.result_hash)
    if step in ("dispatched", "replaced"):
        await finish(world, proposal, view.generation)
    await eventually(lambda: settlement_of(world.context.chain, query), bool)
    assert (await world.context.chain.status_of(query)).generation == before.generation


async def finish(world: World, proposal: Proposal, generation: int) -> None:
    """Let the present trio deliver."""
    trio = [Account(node) for node in proposal.order.mpcs]
    for event in await updates(world):
        trio[trio.index(event.old_mpc)] = event.new_mpc
    for rank, node in enumerate(trio):
        assert await world.deliver(proposal.query_id, node, rank, b"weights %d" % rank, generation)
    for owner in proposal.order.owners:
        assert await world.deliver(proposal.query_id, Account(owner), 255, b"constants", generation)
    await world.until(proposal.query_id, lambda view: view.status == "completed")


async def updates(world: World) -> list[MPCUpdated]:
    chain = world.context.chain
    found = await chain.events_between(chain.contracts.start_block, (await chain.head()).number)
    return [one for one in found if isinstance(one, MPCUpdated)]


async def status_of(world: World, node: Account) -> str | None:
    async with world.database.reading() as session:
        found = await session.get(Node, node)
        return found.status if found else None


async def test_a_registration_is_undone_and_made_again(world: World, own_anvil: Anvil) -> None:
    newcomer = await world.add_node(Role.MPC_NODE)
    await eventually(
        lambda: world.context.chain.node_of(newcomer.account), lambda found: found.incarnation == 1
    )
    await until_quiet(world)
    logs = await until_followed(world)
    own_anvil.rpc("anvil_reorg", DEPTH_BLOCKS, [])
    assert (await world.context.chain.node_of(newcomer.account)).incarnation == 0
    await until_quiet(world)
    followed = await until_followed(world)
    assert Counter(name for name, *_ in followed) == Counter(name for name, *_ in logs)
    assert await status_of(world, newcomer.account) == "active"
    assert {NodeRegistered.__name__, TermsChanged.__name__} == {name for name, *_ in followed}


async def test_an_unregistration_is_undone_in_the_rows_too(world: World, own_anvil: Anvil) -> None:
    node = await world.add_node(Role.MPC_NODE)
    await eventually(lambda: world.context.chain.node_of(node.account), lambda found: found.incarnation == 1)
    own_anvil.rpc("anvil_mine", "0x2")
    deadline = (await world.context.chain.head()).timestamp + 3_600
    message = Unregistration(node.account, 1, deadline)
    signature = sign(node, world.context.domain("NodeRegistry"), message)
    call = CallBuilder(world.context.chain.contracts.addresses).unregister(message, signature)
    async with world.database.transaction() as session:
        await outbox.enqueue(session, outbox.key(node.account, "unregister", 1), call)
    world.context.wakeups.notify(Topic.OUTBOX)

    async def look() -> str | None:
        return await status_of(world, node.account)

    await eventually(look, lambda status: status == "gone")
    own_anvil.rpc("evm_setAutomine", False)
    own_anvil.rpc("anvil_reorg", 1, [])
    await eventually(look, lambda status: status == "active")
    own_anvil.rpc("evm_setAutomine", True)
    own_anvil.rpc("evm_mine")
    await until_quiet(world)
    await eventually(look, lambda status: status == "gone")

    world.change_limits(final_depth_blocks=DEPTH_BLOCKS)
    keeper = Housekeeper(world.context)
    await keeper.look()
    assert await status_of(world, node.account) == "gone"
    own_anvil.rpc("anvil_mine", hex(DEPTH_BLOCKS))

    async def kept() -> str | None:
        await keeper.look()
        return await status_of(world, node.account)

    await eventually(kept, lambda status: status is None)
