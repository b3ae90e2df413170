"""A suspended node comes back by itself once its time is over: real agent, coordinator, chain and claim."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.agents import AgentFolder
from fixtures.chain import Anvil
from fixtures.coordinator import CoordinatorProcess
from fixtures.court import GOVERNOR, Court

from soterone.chain.client import ChainClient
from soterone.chain.deployment import DEVNET, Deployment
from soterone.chain.records import Contracts, NodeStatus
from soterone.crypto.accounts import account
from soterone.domain.detection import Kind
from soterone.domain.ids import Account
from soterone.domain.reputation import Severity

TERMS = replace(DEVNET, governor=GOVERNOR.account, detector_epoch_seconds=3600)


@pytest.fixture
async def court(tmp_path: Path) -> AsyncIterator[tuple[Court, CoordinatorProcess]]:
    anvil = Anvil(tmp_path)
    anvil.start()
    coordinator = CoordinatorProcess(tmp_path, anvil)
    try:
        coordinator.set_up(TERMS)
        coordinator.start()
        contracts = Contracts.of(Deployment.load(coordinator.deployment_file))
        async with await ChainClient.connect(anvil.url, contracts) as chain:
            made = Court(anvil, chain)
            await made.seat(8)
            yield made, coordinator
    finally:
        coordinator.stop()
        anvil.stop()


async def suspend(court: Court, node: Account) -> None:
    await court.next_epoch()
    await court.upheld(await court.accusation(node, Kind.DATASET, Severity.CRITICAL), cores=0)
    assert await status(court, node) is NodeStatus.SUSPENDED


async def serve_the_time(court: Court, node: Account) -> None:
    last = (await court.quorum.suspension_of(node)).last_epoch
    epochs = last + 1 - await court.quorum.present_epoch()
    court.pass_time(epochs * await court.quorum.epoch_seconds())


async def status(court: Court, node: Account) -> NodeStatus:
    return (await court.chain.node_of(node)).status


async def test_a_suspended_node_without_coins_comes_back_when_its_time_is_over(
    court: tuple[Court, CoordinatorProcess], agent_folder: AgentFolder
) -> None:
    judges, coordinator = court
    arguments = agent_folder.init_arguments(*coordinator.init_arguments, name="cleo", role="mpc")
    made = await asyncio.to_thread(agent_folder.invoke, *arguments)
    joined = await asyncio.to_thread(agent_folder.invoke, "register", "--json")
    assert (made.status, joined.status) == (0, 0), (made, joined)
    node = account(joined.document["account"])
    await suspend(judges, node)
    with pytest.raises(RuntimeError, match="suspended on chain by a claim of detectors"):
        await asyncio.to_thread(agent_folder.start)

    await serve_the_time(judges, node)
    assert await status(judges, node) is NodeStatus.SUSPENDED
    await asyncio.to_thread(agent_folder.start)
    try:
        assert await status(judges, node) is NodeStatus.ACTIVE

        await suspend(judges, node)
        await serve_the_time(judges, node)
        async with asyncio.timeout(60):
            while await status(judges, node) is not NodeStatus.ACTIVE:  # noqa: ASYNC110 - it is the chain that tells
                await asyncio.sleep(0.2)
    finally:
        await asyncio.to_thread(agent_folder.stop)
