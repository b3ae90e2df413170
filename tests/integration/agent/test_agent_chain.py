"""The chain watch on a real chain: orders that name this node arrive at once, survive a kill and a reorganisation."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fixtures.chain import Anvil
from integration.chain.nodes import dispatched

from node_agent.chain_watch import ChainWatch, QueryEvent, StoreCursor
from node_agent.directory import ChainDirectory
from node_agent.store import Store
from soterone.chain.client import ChainClient
from soterone.chain.events import QueryDispatched
from soterone.chain.follower import Follower
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account


class Watching:
    """A chain watch over a store file, with what it handed on and when."""

    def __init__(self, path: Path, own: Account) -> None:
        self.store = Store.open(path)
        self.heard: list[tuple[QueryEvent, float]] = []
        self.watch = ChainWatch(self.store, own, self._hear)
        self.directory = ChainDirectory(self.store.node_keys)

    async def _hear(self, event: QueryEvent) -> None:
        self.heard.append((event, time.monotonic()))

    async def expect(self, count: int) -> list[QueryEvent]:
        async with asyncio.timeout(10):
            while len(self.heard) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        return [event for event, _ in self.heard]


@asynccontextmanager
async def watching(path: Path, own: Account, chain: ChainClient, anvil: Anvil) -> AsyncIterator[Watching]:
    made, stop = Watching(path, own), asyncio.Event()
    follower = Follower(chain, StoreCursor(made.store), made.watch, poll_seconds=0.5, ws_url=anvil.ws_url)
    tasks = [asyncio.create_task(follower.run(stop)), asyncio.create_task(made.watch.deliver())]
    try:
        yield made
    finally:
        stop.set()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        made.store.close()


async def test_an_order_arrives_once_and_soon_and_others_do_not(
    own_chain: ChainClient,
    own_anvil: Anvil,
    coordinator_signer: Signer,
    signers: list[Signer],
    tmp_path: Path,
) -> None:
    own, stranger = signers[3].account, signers[8].account
    async with (
        watching(tmp_path / "own.sqlite3", own, own_chain, own_anvil) as ours,
        watching(tmp_path / "stranger.sqlite3", stranger, own_chain, own_anvil) as theirs,
    ):
        await dispatched(own_chain, coordinator_signer, signers)
        await ours.expect(1)
        sent = time.monotonic()
        order, _ = await dispatched(own_chain, coordinator_signer, signers)
        event = (await ours.expect(2))[-1]
        assert isinstance(event, QueryDispatched)
        assert (event.customer, event.owners, event.mpcs) == (order.customer, order.owners, order.mpcs)
        assert ours.heard[-1][1] - sent < 1.0
        assert ours.directory.key_hash(own) == b"\x11" * 32
        assert ours.directory.operator(own) == own
        assert theirs.heard == []
        assert theirs.directory.key_hash(own) == b"\x11" * 32


async def test_what_was_missed_is_made_up_for_and_nothing_comes_twice(
    own_chain: ChainClient,
    own_anvil: Anvil,
    coordinator_signer: Signer,
    signers: list[Signer],
    tmp_path: Path,
) -> None:
    own, path = signers[3].account, tmp_path / "agent.sqlite3"
    async with watching(path, own, own_chain, own_anvil) as first:
        await dispatched(own_chain, coordinator_signer, signers)
        await first.expect(1)
        known = {event.query_id for event, _ in first.heard}
    for _ in range(2):
        await dispatched(own_chain, coordinator_signer, signers)
    async with watching(path, own, own_chain, own_anvil) as again:
        events = await again.expect(2)
        await asyncio.sleep(0.1)
        assert len(again.heard) == 2
        assert known.isdisjoint({event.query_id for event in events})


async def test_a_reorganisation_takes_nodes_and_orders_back(
    own_chain: ChainClient,
    own_anvil: Anvil,
    coordinator_signer: Signer,
    signers: list[Signer],
    tmp_path: Path,
) -> None:
    own = signers[3].account
    async with watching(tmp_path / "agent.sqlite3", own, own_chain, own_anvil) as ours:
        before = (await own_chain.head()).number
        await dispatched(own_chain, coordinator_signer, signers)
        (first,) = await ours.expect(1)
        depth = (await own_chain.head()).number - before
        own_anvil.rpc("anvil_reorg", depth, [])
        own_anvil.rpc("evm_mine")
        async with asyncio.timeout(10):
            while ours.directory.key_hash(own) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not ours.store.chain_log.knows(first.query_id)
        await dispatched(own_chain, coordinator_signer, signers)
        assert len(await ours.expect(2)) == 2
        assert ours.directory.key_hash(own) == b"\x11" * 32
