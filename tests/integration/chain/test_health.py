"""What `/readyz` says of the chain and of the account that pays, over a chain that mines, stops and goes away."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.chain import Anvil, deploy_contracts
from following import following, until
from sending import QUICK, enqueue, sending

from coordinator import health
from coordinator.health import Health, chain_check, readiness, sender_check
from scripts.devnet.anvil import INTERVAL_MINING
from soterone.chain.client import ChainClient
from soterone.chain.outbox import MemoryOutbox
from soterone.chain.records import Contracts
from soterone.crypto.accounts import Signer


@pytest.fixture
def mining_anvil(tmp_path: Path) -> Iterator[Anvil]:
    process = Anvil(tmp_path, *INTERVAL_MINING)
    process.start()
    yield process
    process.stop()


async def until_said(watched: Health, part: str, sentence: str, seconds: float = 30) -> None:
    """Wait until `/readyz` says so of a part; an empty sentence means that all is well."""
    async with asyncio.timeout(seconds):
        while True:
            answer = await readiness(watched)
            complaint = json.loads(bytes(answer.body))["complaints"].get(part, "")
            if answer.status_code == (503 if sentence else 200) and complaint.startswith(sentence):
                return
            await asyncio.sleep(0.05)


async def test_a_head_that_stands_still_makes_the_process_unready(mining_anvil: Anvil) -> None:
    contracts = Contracts.of(deploy_contracts(mining_anvil))
    async with (
        await ChainClient.connect(mining_anvil.url, contracts) as client,
        following(client, poll_seconds=0.05) as running,
    ):
        watched, on_demand = Health(), Health()
        watched.add("chain", chain_check(running.follower, 60, 3))  # type: ignore[arg-type]
        on_demand.add("chain", chain_check(running.follower, 60, 0))  # type: ignore[arg-type]
        await until_said(watched, "chain", "")
        mining_anvil.rpc("evm_setIntervalMining", 0)
        await until_said(watched, "chain", "the chain's head stands still for 3 seconds")
        await until_said(on_demand, "chain", "")
        mining_anvil.rpc("evm_setIntervalMining", 1)
        await until_said(watched, "chain", "")


async def test_a_chain_that_gives_no_answer_makes_the_process_unready(
    own_chain: ChainClient, own_anvil: Anvil
) -> None:
    async with following(own_chain, poll_seconds=0.05) as running:
        watched = Health()
        watched.add("chain", chain_check(running.follower, 1, 60))  # type: ignore[arg-type]
        await until(lambda: running.follower.confirmed is not None)
        await until_said(watched, "chain", "")
        own_anvil.stop()
        await until_said(watched, "chain", "the chain was not followed to its head for 1 seconds")
        own_anvil.start()
        await until_said(watched, "chain", "")


async def test_an_account_without_coins_makes_the_process_unready(
    own_chain: ChainClient, own_anvil: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_PASSING_SECONDS", 0.2)
    outbox, poor, watched = MemoryOutbox(), Signer.new(), Health()
    enqueue(own_chain, outbox, 1)
    async with sending(own_chain, poor, outbox, replace(QUICK, poll_seconds=0.02)) as sender:
        watched.add("sender", sender_check(sender))
        await until_said(watched, "sender", f"The account {poor.account} is out of coins")
        own_anvil.rpc("anvil_setBalance", poor.account, hex(10**18))
        await until_said(watched, "sender", "")
