"""A reorganisation takes a query's chain events away and the sender brings them back; rows follow both ways."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from fixtures.chain import Anvil
from fixtures.query_world import World, eventually, open_world
from fixtures.settlements import settlement_of

from coordinator.database import Database
from soterone.chain.client import ChainClient
from soterone.chain.events import MPCUpdated
from soterone.chain.records import QueryStatus
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account, QueryId
from soterone.domain.roles import Role


@pytest_asyncio.fixture
async def own_world(
    database: Database, own_chain: ChainClient, coordinator_signer: Signer, tmp_path: Path
) -> AsyncIterator[World]:
    async with open_world(database, own_chain, coordinator_signer, tmp_path) as opened:
        await opened.populate()
        yield opened


async def test_a_completion_that_a_reorganisation_dropped_comes_back(
    own_world: World, own_anvil: Anvil
) -> None:
    world = own_world
    proposal = await world.propose()
    await world.launch(proposal)
    own_anvil.rpc("anvil_mine", "0x1")
    await world.run_to_the_end(proposal)
    await eventually(lambda: world.kinds(proposal.query_id), lambda kinds: "settled" in kinds)
    before = (await world.context.chain.head()).number
    own_anvil.rpc("anvil_reorg", 2, [])
    kinds = await eventually(
        lambda: world.kinds(proposal.query_id), lambda kinds: kinds.count("chain-reorganised") > 0
    )
    state = await eventually(
        lambda: world.context.chain.status_of(QueryId(proposal.query_id)),
        lambda state: state.status is QueryStatus.COMPLETED_CLEANED,
    )
    assert state.generation == 0
    assert (await world.context.chain.head()).number > before
    await eventually(
        lambda: settlement_of(world.context.chain, QueryId(proposal.query_id)),
        bool,
    )
    view = await world.until(proposal.query_id, lambda view: view.status == "completed")
    assert view.result_hash is not None
    assert kinds.count("dispatched") == 1


async def test_a_replacement_that_a_reorganisation_dropped_comes_back_as_the_same(
    own_world: World, own_anvil: Anvil
) -> None:
    world = own_world
    await world.add_node(Role.MPC_NODE)
    proposal = await world.propose()
    await world.launch(proposal)
    lost, owner = Account(proposal.order.mpcs[1]), Account(proposal.order.owners[0])
    await world.disconnect(lost)
    await world.complain(proposal.query_id, owner, lost)
    await world.until_mined(proposal.query_id, lambda view: view.generation == 1)
    (before,) = await replacements_of(world, proposal.query_id)
    depth = (await world.context.chain.head()).number - before.position.block_number + 1
    own_anvil.rpc("anvil_reorg", depth, [])
    generations: set[int] = set()

    async def look() -> list[MPCUpdated]:
        generations.add((await world.view(proposal.query_id)).generation)
        return await replacements_of(world, proposal.query_id)

    (after,) = await eventually(
        look, lambda found: bool(found) and found[0].position.block_hash != before.position.block_hash
    )
    assert (after.new_mpc, after.seed_block, after.candidates) == (
        before.new_mpc,
        before.seed_block,
        before.candidates,
    )
    assert generations == {1}
    present = [before.new_mpc if node == lost else Account(node) for node in proposal.order.mpcs]
    for rank, node in enumerate(present):
        assert await world.deliver(proposal.query_id, node, rank, generation=1)
    for node in proposal.order.owners:
        await world.deliver(proposal.query_id, Account(node), 255, generation=1)
    await world.until(proposal.query_id, lambda view: view.status == "completed")
    settlement = await eventually(
        lambda: settlement_of(world.context.chain, QueryId(proposal.query_id)),
        bool,
    )
    assert settlement == (100, 100, 100, 100, 100, 0)


async def replacements_of(world: World, query_id: str) -> list[MPCUpdated]:
    chain = world.context.chain
    found = await chain.events_between(chain.contracts.start_block, (await chain.head()).number)
    return [one for one in found if isinstance(one, MPCUpdated) and one.query_id == query_id]
