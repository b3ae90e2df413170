"""A reorganisation takes a query's chain events away and the sender brings them back; rows follow both ways."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from fixtures.chain import Anvil
from fixtures.query_world import World, eventually, open_world

from coordinator.database import Database
from soterone.chain.client import ChainClient
from soterone.chain.records import QueryStatus
from soterone.crypto.accounts import Signer
from soterone.domain.ids import QueryId


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
        lambda: world.context.chain.settlement_of(QueryId(proposal.query_id)),
        lambda found: found.settled_at > 0,
    )
    view = await world.until(proposal.query_id, lambda view: view.status == "completed")
    assert view.result_hash is not None
    assert kinds.count("dispatched") == 1
