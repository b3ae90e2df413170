"""The sender where the chain forgets, lags and reorganises deep, somebody else uses its key, or its coins run out."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from fixtures.chain import Anvil
from sending import (
    QUICK,
    all_done,
    all_in,
    enqueue,
    grant_suspender,
    registered,
    registration_row,
    sending,
    suspension,
    until,
    until_registered,
)

from coordinator.chain import outbox as sql
from coordinator.chain.sql_outbox import SqlOutbox
from coordinator.database import Database
from coordinator.wakeups import Wakeups
from soterone.chain.client import ChainClient
from soterone.chain.json_rpc import JsonRpc
from soterone.chain.outbox import MemoryOutbox, OutboxRow, RowState
from soterone.chain.records import NodeStatus
from soterone.chain.sender import Sender, SendingPolicy
from soterone.crypto.accounts import Signer

PATIENT = replace(QUICK, stuck_seconds=60)


async def test_eight_blocks_of_transactions_are_sent_again_unchanged(
    own_chain: ChainClient, coordinator_signer: Signer, own_anvil: Anvil
) -> None:
    outbox = MemoryOutbox()
    async with sending(own_chain, coordinator_signer, outbox):
        rows, nodes = [], []
        for _ in range(8):
            more, accounts = enqueue(own_chain, outbox, 1)
            rows, nodes = rows + more, nodes + accounts
            await until(all_done(outbox, rows))
        before = [outbox.inclusion_of(one.key) for one in rows]
        count = await own_chain.transaction_count(coordinator_signer.account)
        own_anvil.rpc("anvil_reorg", 8, [])
        assert await own_chain.transaction_count(coordinator_signer.account) == count - 8
        await until_registered(own_chain, nodes)
        await until(all_done(outbox, rows))
    after = [outbox.inclusion_of(one.key) for one in rows]
    assert [one.transaction_hash for one in after if one] == [one.transaction_hash for one in before if one]
    assert await own_chain.transaction_count(coordinator_signer.account) == count


async def test_a_chain_that_restarts_without_its_pending_transactions_gets_them_again(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    own_anvil.rpc("evm_setAutomine", False)
    outbox = MemoryOutbox()
    rows, nodes = enqueue(own_chain, outbox, 4)
    async with sending(own_chain, coordinator_signer, outbox, PATIENT):
        await until(all_in(outbox, rows, RowState.SENT))
        own_anvil.stop()
        own_anvil.start()
        assert own_anvil.rpc("txpool_status")["pending"] in ("0x0", 0)
        await until(all_done(outbox, rows))
    assert await registered(own_chain, nodes)


async def test_a_transaction_dropped_from_the_middle_is_sent_again(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    own_anvil.rpc("evm_setAutomine", False)
    outbox = MemoryOutbox()
    rows, nodes = enqueue(own_chain, outbox, 5)
    async with sending(own_chain, coordinator_signer, outbox, replace(PATIENT, resend_seconds=1)):
        await until(all_in(outbox, rows, RowState.SENT))
        await until(lambda: own_anvil.rpc("txpool_status")["pending"] in ("0x5", 5))
        middle = (await outbox.outstanding(coordinator_signer.account))[2]
        own_anvil.rpc("anvil_dropTransaction", middle.attempts[0].transaction_hash)
        own_anvil.rpc("evm_mine")
        own_anvil.rpc("evm_setAutomine", True)
        await until(all_done(outbox, rows))
    assert await registered(own_chain, nodes)


async def test_a_dearer_foreign_transaction_with_our_key_only_delays(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer, signers: list[Signer]
) -> None:
    own_anvil.rpc("evm_setAutomine", False)
    outbox = MemoryOutbox()
    nonce = await own_chain.transaction_count(coordinator_signer.account)
    foreign = {"from": coordinator_signer.account, "to": signers[0].account, "nonce": hex(nonce)}
    fees = {"maxFeePerGas": hex(400 * 10**9), "maxPriorityFeePerGas": hex(100 * 10**9)}
    own_anvil.rpc("eth_sendTransaction", {**foreign, **fees, "value": "0x1"})
    rows, nodes = enqueue(own_chain, outbox, 2)
    async with sending(own_chain, coordinator_signer, outbox, PATIENT):
        await until(all_in(outbox, rows, RowState.SENT))
        own_anvil.rpc("evm_mine")
        own_anvil.rpc("evm_setAutomine", True)
        await until(all_done(outbox, rows))
    assert await registered(own_chain, nodes)
    assert await own_chain.transaction_count(coordinator_signer.account) >= nonce + 3


class LaggingRpc(JsonRpc):
    """A node that can stand some blocks behind what it told before."""

    behind_blocks = 0

    async def call(self, method: str, *parameters: Any) -> Any:
        if (method, parameters[:1]) == ("eth_getBlockByNumber", ("latest",)) and self.behind_blocks:
            head = int(await super().call("eth_blockNumber"), 16)
            return await super().call(method, hex(head - self.behind_blocks), False)
        return await super().call(method, *parameters)


async def test_an_rpc_that_is_behind_is_waited_for(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    outbox, rpc = MemoryOutbox(), LaggingRpc(own_anvil.url)
    async with ChainClient(rpc, own_chain.contracts) as client:
        sender = Sender(client, coordinator_signer, outbox, QUICK)
        rows, _ = enqueue(own_chain, outbox, 2)
        while not all_done(outbox, rows)():
            await sender.step()
        rpc.behind_blocks = 2
        more, nodes = enqueue(own_chain, outbox, 1)
        for _ in range(5):
            assert not await sender.step()
        assert all_in(outbox, rows, RowState.MINED)()
        assert all_in(outbox, more, RowState.DUE)()
        rpc.behind_blocks = 0
        while not all_done(outbox, more)():
            await sender.step()
    assert await registered(own_chain, nodes)


async def test_an_account_without_coins_says_so_and_goes_on_when_funded(
    own_chain: ChainClient, own_anvil: Anvil
) -> None:
    outbox, poor = MemoryOutbox(), Signer.new()
    rows, nodes = enqueue(own_chain, outbox, 2)
    async with sending(own_chain, poor, outbox) as sender:
        await until(lambda: sender.problem is not None)
        assert f"{poor.account} is out of coins" in str(sender.problem)
        assert "0.000000 are left. Send it coins on chain 31337" in str(sender.problem)
        assert all_in(outbox, rows, RowState.DUE)()
        own_anvil.rpc("anvil_setBalance", poor.account, hex(10**18))
        await until(all_done(outbox, rows))
        await until(lambda: sender.problem is None)
    assert await registered(own_chain, nodes)


class CountingRpc(JsonRpc):
    """Counts what it is asked."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked = Counter[str]()

    async def call(self, method: str, *parameters: Any) -> Any:
        self.asked[method] += 1
        return await super().call(method, *parameters)


async def sql_rows(database: Database, chain: ChainClient, number: int) -> list[sql.OutboxKey]:
    made = [registration_row(chain)[0] for _ in range(number)]
    names = [sql.key(one.key, "register") for one in made]
    async with database.transaction() as session:
        for name, row in zip(names, made, strict=True):
            assert await sql.enqueue(session, name, row.call)
    return names


async def until_mined(database: Database, names: list[sql.OutboxKey], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while True:
            async with database.reading() as session:
                rows = [await sql.find(session, name) for name in names]
            if all(row and row.state in ("mined", "final") for row in rows):
                return
            await asyncio.sleep(0.05)


async def test_of_two_senders_with_one_key_one_stands_by(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer, database: Database
) -> None:
    rpcs = CountingRpc(own_anvil.url), CountingRpc(own_anvil.url)
    names = await sql_rows(database, own_chain, 12)
    before = await own_chain.transaction_count(coordinator_signer.account)
    async with (
        ChainClient(rpcs[0], own_chain.contracts) as first,
        ChainClient(rpcs[1], own_chain.contracts) as second,
        sending(first, coordinator_signer, SqlOutbox(database, Wakeups()), PATIENT),
        sending(second, coordinator_signer, SqlOutbox(database, Wakeups()), PATIENT),
    ):
        await until_mined(database, names)
    assert sorted(rpc.asked["eth_sendRawTransaction"] for rpc in rpcs) == [0, 12]
    assert await own_chain.transaction_count(coordinator_signer.account) == before + 12


@pytest.mark.parametrize("killed", [True, False])
async def test_a_second_sender_takes_over_within_ten_seconds(
    own_chain: ChainClient, coordinator_signer: Signer, database: Database, killed: bool
) -> None:
    policy = replace(QUICK, lease_seconds=SendingPolicy().lease_seconds if killed else 120)
    outbox = SqlOutbox(database, Wakeups())
    if killed:
        assert await outbox.lease(coordinator_signer.account, "killed", policy.lease_seconds)
    else:
        names = await sql_rows(database, own_chain, 1)
        async with sending(own_chain, coordinator_signer, outbox, policy):
            await until_mined(database, names)
    names = await sql_rows(database, own_chain, 3)
    started = time.monotonic()
    async with sending(own_chain, coordinator_signer, outbox, policy):
        await until_mined(database, names)
    assert not killed or time.monotonic() - started > policy.lease_seconds - 1
    assert SendingPolicy().lease_seconds <= 5


async def test_a_row_that_builds_on_a_reorganised_one_waits_for_it(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    grant_suspender(own_anvil, own_chain, coordinator_signer)
    outbox = MemoryOutbox()
    async with sending(own_chain, coordinator_signer, outbox, replace(QUICK, resend_seconds=1)) as sender:
        rows, nodes = enqueue(own_chain, outbox, 1)
        await until(all_done(outbox, rows))
        own_anvil.rpc("anvil_reorg", 1, [])
        rows.append(OutboxRow("suspend", suspension(own_chain, nodes[0])))
        outbox.enqueue(rows[1])
        sender.wake()
        await until(lambda: outbox.state_of(rows[0].key) is RowState.SENT)
        await until(all_done(outbox, rows))
    assert (await own_chain.node_of(nodes[0])).status is NodeStatus.SUSPENDED
