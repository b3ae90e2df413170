"""The follower where its RPC leaves logs out, lags, goes silent, serves another chain, or comes back after long."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fixtures.chain import Anvil
from following import Following, Journal, Relay, following, register, until
from nodes import mined, registering

from soterone.chain.bloom import bloom_of
from soterone.chain.client import ChainClient
from soterone.chain.cursor import InMemoryCursorStore, MemoryCursorTransaction
from soterone.chain.errors import OmittedLogsError
from soterone.chain.follower import Follower
from soterone.chain.json_rpc import JsonRpc
from soterone.crypto.accounts import Signer
from soterone.domain.roles import Role


class ForgetfulRpc(JsonRpc):
    """A node whose answers leave out the logs of some methods, as one does that has not indexed a block yet."""

    def __init__(self, url: str, *forgotten: str) -> None:
        super().__init__(url)
        self.forgotten = forgotten

    async def call(self, method: str, *parameters: Any) -> Any:
        return self._less(method, await super().call(method, *parameters))

    async def batch(self, calls: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        answers = await super().batch(calls)
        return [self._less(method, answer) for (method, _), answer in zip(calls, answers, strict=True)]

    def _less(self, method: str, answer: Any) -> Any:
        if method not in self.forgotten:
            return answer
        return [{**one, "logs": []} for one in answer] if method == "eth_getBlockReceipts" else []


class LaggingRpc(JsonRpc):
    """Nodes behind one address, of which half the answers come from one that is some blocks behind."""

    behind_blocks = 3

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.chance = random.Random(1)  # noqa: S311

    async def call(self, method: str, *parameters: Any) -> Any:
        if (method, parameters[:1]) == ("eth_getBlockByNumber", ("latest",)) and self.chance.random() < 0.5:
            head = int(await super().call("eth_blockNumber"), 16)
            return await super().call(method, hex(max(0, head - self.behind_blocks)), False)
        return await super().call(method, *parameters)


@asynccontextmanager
async def through(rpc: JsonRpc, chain: ChainClient, **options: Any) -> AsyncIterator[Following]:
    async with (
        ChainClient(rpc, chain.contracts) as client,
        following(client, poll_seconds=0.05, **options) as running,
    ):
        yield running


async def test_logs_that_are_left_out_are_found_in_the_receipts(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    await register(own_chain, signers[0])
    own_anvil.rpc("anvil_mine", "0x3")
    await register(own_chain, signers[1])
    async with through(ForgetfulRpc(own_anvil.url, "eth_getLogs"), own_chain) as running:
        await until(lambda: len(running.journal.nodes) == 2)
        await register(own_chain, signers[2])
        await until(lambda: running.journal.nodes == [one.account for one in signers[:3]])


@pytest.mark.parametrize("blocks_later", [0, 5])
async def test_a_block_whose_header_announces_more_waits_until_its_logs_come(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer], blocks_later: int
) -> None:
    rpc = ForgetfulRpc(own_anvil.url, "eth_getLogs", "eth_getBlockReceipts")
    await register(own_chain, signers[0])
    told = (await own_chain.head()).number
    own_anvil.rpc("anvil_mine", hex(blocks_later))
    async with ChainClient(rpc, own_chain.contracts) as client:
        store, journal = InMemoryCursorStore(), Journal()
        with pytest.raises(OmittedLogsError, match="leaves out logs of block"):
            await Follower(client, store, journal).catch_up()
        assert all(one.number < told for one in await store.trail())
        async with following(client, poll_seconds=0.05) as running:
            await until(lambda: running.follower.seen is not None)
            await asyncio.sleep(0.2)
            assert running.follower.answer_age_seconds is None
            rpc.forgotten = ()
            await until(lambda: running.journal.nodes == [signers[0].account])


async def test_headers_announce_exactly_what_the_logs_add_up_to(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    receipt = await mined(own_chain, signers[0], registering(own_chain, signers[0], Role.MPC_NODE))
    block = await own_chain.block(receipt.block.number)
    assert block is not None
    assert block.logs_bloom == bloom_of(receipt.logs) != 0


async def test_an_rpc_that_lags_at_times_undoes_and_doubles_nothing(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    async with through(LaggingRpc(own_anvil.url), own_chain) as running:
        for node in signers[:6]:
            await register(own_chain, node)
            await asyncio.sleep(0.05)
        await until(lambda: running.journal.nodes == [one.account for one in signers[:6]])
        assert running.journal.undone == []


async def test_a_connection_that_swallows_everything_is_given_up(
    own_chain: ChainClient, relay: Relay, signers: list[Signer]
) -> None:
    await relay.start()
    rpc = JsonRpc(f"http://127.0.0.1:{relay.port}", timeout_seconds=0.5)
    async with through(rpc, own_chain) as running:
        await until(lambda: running.follower.confirmed is not None)
        relay.frozen = True
        await register(own_chain, signers[0])
        await until(lambda: running.journal.nodes == [signers[0].account])
        assert relay.connections > 1


async def test_eight_blocks_are_undone_and_followed_anew(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    await register(own_chain, signers[0])
    async with following(own_chain, poll_seconds=0.05) as running:
        for node in signers[1:9]:
            await register(own_chain, node)
        await until(lambda: len(running.journal.nodes) == 9)
        own_anvil.rpc("anvil_reorg", 8, [])
        await until(lambda: running.journal.nodes == [signers[0].account])
        for node in reversed(signers[1:9]):
            await register(own_chain, node)
        await until(lambda: len(running.journal.nodes) == 9)
        assert running.journal.nodes[1:] == [one.account for one in reversed(signers[1:9])]
        assert len(running.journal.undone) == 1


async def test_a_chain_without_the_contracts_undoes_nothing(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer], tmp_path: Path
) -> None:
    state, kept = tmp_path / "state.json", tmp_path / "kept.json"
    await register(own_chain, signers[0])
    async with following(own_chain, poll_seconds=0.05) as running:
        await until(lambda: running.follower.answer_age_seconds is not None)
        assert len(running.journal.nodes) == 1
        own_anvil.stop()
        state.rename(kept)
        own_anvil.start()
        own_anvil.rpc("anvil_mine", "0x40")
        await asyncio.sleep(1)
        assert (running.follower.answer_age_seconds or 0) >= 1, "it followed a chain without the contracts"
        assert running.journal.undone == []
        own_anvil.stop()
        kept.replace(state)
        own_anvil.start()
        await register(own_chain, signers[1])
        await until(lambda: running.journal.nodes == [one.account for one in signers[:2]])
        assert running.journal.undone == []


class CountingStore(InMemoryCursorStore):
    """Counts its transactions."""

    transactions = 0

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryCursorTransaction]:
        self.transactions += 1
        async with super().begin() as transaction:
            yield transaction


@pytest.mark.parametrize("near_blocks", [1, 1_024])
async def test_a_long_way_is_caught_up_in_few_transactions(
    own_chain: ChainClient, coordinator_signer: Signer, near_blocks: int
) -> None:
    nodes = [Signer.new() for _ in range(120)]
    for node in nodes:
        await mined(own_chain, coordinator_signer, registering(own_chain, node, Role.MPC_NODE))
    store, journal = CountingStore(), Journal()
    await Follower(own_chain, store, journal, near_blocks=near_blocks).catch_up()
    assert journal.nodes == [one.account for one in nodes]
    assert store.transactions <= 5
    assert len(await store.trail()) >= 120
