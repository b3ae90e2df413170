"""The follower on real chains that reorganise, restart, go silent and are too large for one answer."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
from fixtures.chain import Anvil
from following import Journal, Relay, following, register, until
from nodes import registering, signed
from structlog.testing import capture_logs
from structlog.typing import EventDict

from soterone.chain.client import ChainClient
from soterone.chain.cursor import InMemoryCursorStore, MemoryCursorTransaction
from soterone.chain.errors import CursorMovedError, RpcError
from soterone.chain.events import NodeRegistered
from soterone.chain.follower import Follower
from soterone.chain.json_rpc import JsonRpc
from soterone.crypto.accounts import Signer
from soterone.domain.roles import Role


def listened(said: list[EventDict]) -> int:
    """How often the watch for new heads got through."""
    return sum(one["event"] == "head_watch_listens" for one in said)


async def test_backfill_and_new_events_arrive_once_and_in_order(
    own_chain: ChainClient, signers: list[Signer]
) -> None:
    for node in signers[:3]:
        await register(own_chain, node)
    async with following(own_chain, poll_seconds=0.05) as running:
        await until(lambda: len(running.journal.nodes) == 3)
        for node in signers[3:5]:
            await register(own_chain, node)
        await until(lambda: len(running.journal.nodes) == 5)
        assert running.journal.nodes == [one.account for one in signers[:5]]
        block, event, _ = running.journal.applied[0]
        assert (event.position.block_number, event.position.block_hash) == (block.number, block.hash)
        head = await own_chain.head()
        assert running.follower.confirmed == (await running.store.trail())[0] == head.ref
        assert running.follower.seen == head
        assert running.follower.answer_age_seconds is not None


async def test_a_websocket_wakes_long_before_the_next_poll(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    async with following(own_chain, poll_seconds=30, ws_url=own_anvil.ws_url) as running:
        latencies = []
        for index, node in enumerate(signers):
            attempt = await signed(own_chain, node, registering(own_chain, node, Role.MPC_NODE))
            sent_at = time.monotonic()
            await own_chain.send_raw(attempt.raw)
            await until(lambda count=index: len(running.journal.nodes) > count)  # type: ignore[misc]
            latencies.append(running.journal.applied[-1][2] - sent_at)
        assert max(latencies) < 10, latencies


async def test_a_reorganisation_is_undone_and_the_new_branch_applied(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    await register(own_chain, signers[0])
    kept = (await own_chain.head()).ref
    async with following(own_chain, poll_seconds=0.05) as running:
        await until(lambda: running.follower.confirmed == kept)
        for node in signers[1:3]:
            await register(own_chain, node)
        await until(lambda: len(running.journal.nodes) == 3)
        own_anvil.rpc("anvil_reorg", 2, [])
        await until(lambda: running.journal.undone == [kept])
        assert running.journal.nodes == [signers[0].account]
        await register(own_chain, signers[4])
        await until(lambda: running.journal.nodes == [signers[0].account, signers[4].account])
        assert running.journal.undone == [kept]


def registrations(journal: Journal) -> list[NodeRegistered]:
    return [event for _, event, _ in journal.applied if isinstance(event, NodeRegistered)]


async def test_the_same_transaction_in_another_block_is_undone_and_applied_again(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    async with following(own_chain, poll_seconds=0.05) as running:
        attempt = await signed(own_chain, signers[0], registering(own_chain, signers[0], Role.MPC_NODE))
        await own_chain.send_raw(attempt.raw)
        await until(lambda: len(running.journal.nodes) == 1)
        before = registrations(running.journal)[0].position
        own_anvil.rpc("anvil_reorg", 1, [])
        await until(lambda: running.journal.nodes == [])
        await own_chain.send_raw(attempt.raw)
        await until(lambda: len(running.journal.nodes) == 1)
        after = registrations(running.journal)[0].position
        assert after.transaction_hash == before.transaction_hash
        assert after.block_hash != before.block_hash


async def test_a_rollback_is_noticed_with_the_next_block(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    async with following(own_chain, poll_seconds=0.05, ws_url=own_anvil.ws_url) as running:
        await register(own_chain, signers[0])
        await register(own_chain, signers[1])
        await until(lambda: len(running.journal.nodes) == 2)
        own_anvil.rpc("anvil_rollback", 1)
        own_anvil.rpc("evm_mine")
        await until(lambda: running.journal.nodes == [signers[0].account])


async def test_confirmations_hold_back_what_a_reorganisation_may_take(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    async with following(own_chain, poll_seconds=0.05, confirmations=3) as running:
        await register(own_chain, signers[0])
        registered = (await own_chain.head()).number
        own_anvil.rpc("evm_mine")
        await until(lambda: running.follower.seen is not None and running.follower.seen.number > registered)
        await asyncio.sleep(0.1)
        assert running.journal.nodes == []
        own_anvil.rpc("evm_mine")
        await until(lambda: running.journal.nodes == [signers[0].account])
        own_anvil.rpc("anvil_reorg", 2, [])
        await asyncio.sleep(0.2)
        assert running.journal.undone == []


async def test_a_restarted_node_is_followed_on(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    with capture_logs() as said:
        async with following(own_chain, poll_seconds=0.05, ws_url=own_anvil.ws_url) as running:
            await register(own_chain, signers[0])
            await until(lambda: len(running.journal.nodes) == 1 and listened(said) == 1)
            own_anvil.stop()
            await asyncio.sleep(0.3)
            own_anvil.start()
            await register(own_chain, signers[1])
            await until(lambda: running.journal.nodes == [one.account for one in signers[:2]])
            assert running.journal.undone == []
            await until(lambda: listened(said) >= 2)


async def test_asking_goes_on_when_the_websocket_is_refused(
    own_chain: ChainClient, signers: list[Signer]
) -> None:
    async with following(own_chain, poll_seconds=0.05, ws_url="ws://127.0.0.1:1") as running:
        await register(own_chain, signers[0])
        await until(lambda: len(running.journal.nodes) == 1)


async def test_a_dropped_websocket_is_made_again(
    own_chain: ChainClient, relay: Relay, signers: list[Signer]
) -> None:
    with capture_logs() as said:
        async with following(own_chain, poll_seconds=30, ws_url=await relay.start()) as running:
            await until(lambda: listened(said) == 1)
            await relay.drop()
            await register(own_chain, signers[0])
            await until(lambda: len(running.journal.nodes) == 1)
            await until(lambda: listened(said) >= 2)
            assert relay.connections == 2


async def test_a_silent_websocket_is_dropped_by_the_watchdog(
    own_chain: ChainClient, relay: Relay, signers: list[Signer]
) -> None:
    with capture_logs() as said:
        async with following(own_chain, poll_seconds=0.05, ws_url=await relay.start()):
            await until(lambda: listened(said) == 1)
            relay.frozen = True
            async with asyncio.timeout(10):
                for node in signers:
                    await register(own_chain, node)
                    await asyncio.sleep(0.5)
                    if relay.connections == 2:
                        break
            assert relay.connections == 2
            assert not relay.frozen


class NarrowRpc(JsonRpc):
    """A node that answers at most `width` blocks of logs, as public ones do; it counts what it refused."""

    width, refused = 4, 0

    async def call(self, method: str, *parameters: Any) -> Any:
        if method == "eth_getLogs" and "fromBlock" in parameters[0]:
            span = int(parameters[0]["toBlock"], 16) - int(parameters[0]["fromBlock"], 16) + 1
            if span > self.width:
                self.refused += 1
                raise RpcError(method, -32005, "query returned more than 10000 results")
        return await super().call(method, *parameters)


async def test_ranges_are_halved_until_the_node_answers(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    for node in signers[:4]:
        own_anvil.rpc("anvil_mine", "0x10")
        await register(own_chain, node)
    async with ChainClient(narrow := NarrowRpc(own_anvil.url), own_chain.contracts) as client:
        journal = Journal()
        await Follower(client, InMemoryCursorStore(), journal, near_blocks=1).catch_up()
        assert journal.nodes == [one.account for one in signers[:4]]
        assert narrow.refused > 0


async def test_a_handler_that_fails_gets_the_same_block_again(
    own_chain: ChainClient, signers: list[Signer]
) -> None:
    await register(own_chain, signers[0])
    store, journal = InMemoryCursorStore(), Journal()
    journal.fail_once = True
    follower = Follower(own_chain, store, journal)
    with pytest.raises(OSError, match="disk is full"):
        await follower.catch_up()
    assert await store.trail() == []
    await follower.catch_up()
    assert journal.nodes == [signers[0].account]


async def test_two_followers_of_one_cursor_advance_it_once_a_block(
    own_chain: ChainClient, signers: list[Signer]
) -> None:
    for node in signers[:4]:
        await register(own_chain, node)
    store, journal = InMemoryCursorStore(), Journal()
    followers = [Follower(own_chain, store, journal) for _ in range(2)]

    async def persist(follower: Follower[MemoryCursorTransaction]) -> None:
        while True:
            with suppress(CursorMovedError):
                await follower.catch_up()
                break

    await asyncio.gather(*(persist(one) for one in followers))
    trail = await store.trail()
    assert len({one.hash for one in trail}) == len(trail)
    assert trail[0] == (await own_chain.head()).ref
