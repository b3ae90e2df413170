"""The sender on real chains: bursts, refusals, reorganisations, stuck and lost transactions, restarts, a rival."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from fixtures.chain import Anvil
from nodes import registering, signed
from sending import (
    QUICK,
    all_done,
    all_in,
    enqueue,
    grant_suspender,
    refused_row,
    registered,
    sending,
    suspension,
    until,
    until_registered,
)

from soterone.chain.client import ChainClient
from soterone.chain.json_rpc import JsonRpc
from soterone.chain.outbox import MemoryOutbox, OutboxRow, RowState
from soterone.chain.sender import SendingPolicy
from soterone.crypto.accounts import Signer
from soterone.domain.roles import Role


async def test_a_burst_goes_out_with_consecutive_nonces_in_order(
    own_chain: ChainClient, coordinator_signer: Signer
) -> None:
    outbox = MemoryOutbox()
    rows, nodes = enqueue(own_chain, outbox, 40)
    first = await own_chain.transaction_count(coordinator_signer.account)
    async with sending(own_chain, coordinator_signer, outbox, replace(QUICK, watch_blocks=100)):
        await until(all_done(outbox, rows))
    held = await outbox.outstanding(coordinator_signer.account)
    assert [one.nonce for one in held] == list(range(first, first + 40))
    assert [one.row for one in held] == rows
    assert await registered(own_chain, nodes)


async def test_a_new_row_is_on_its_way_at_once(own_chain: ChainClient, coordinator_signer: Signer) -> None:
    outbox = MemoryOutbox()
    idle = SendingPolicy(poll_seconds=30)
    latencies = []
    async with sending(own_chain, coordinator_signer, outbox, idle) as sender:
        for _ in range(10):
            rows, _ = enqueue(own_chain, outbox, 1)
            started = time.monotonic()
            sender.wake()
            await until(lambda rows=rows: outbox.state_of(rows[0].key) is not RowState.DUE)  # type: ignore[misc]
            latencies.append(time.monotonic() - started)
            await until(all_done(outbox, rows))
    assert max(latencies) < 10, latencies


async def test_several_are_in_flight_before_the_first_is_mined(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    own_anvil.rpc("evm_setAutomine", False)
    outbox = MemoryOutbox()
    rows, _ = enqueue(own_chain, outbox, 6)
    async with sending(own_chain, coordinator_signer, outbox) as sender:
        await until(all_in(outbox, rows, RowState.SENT))
        await until(lambda: sender.in_flight == 6)
        own_anvil.rpc("evm_mine")
        await until(all_done(outbox, rows))
    blocks = {outbox.inclusion_of(one.key).block.number for one in rows}  # type: ignore[union-attr]
    assert len(blocks) == 1


async def test_a_refused_row_is_told_why_and_costs_no_nonce(
    own_chain: ChainClient, coordinator_signer: Signer
) -> None:
    outbox = MemoryOutbox()
    before = await own_chain.transaction_count(coordinator_signer.account)
    outbox.enqueue(row := refused_row(own_chain))
    async with sending(own_chain, coordinator_signer, outbox):
        await until(all_in(outbox, [row], RowState.REVERTED))
    refusal = outbox.refusal_of(row.key)
    assert refusal is not None
    assert refusal.name == "QueryLedgerWrongStatus"
    assert await own_chain.transaction_count(coordinator_signer.account) == before


async def test_a_refused_row_holds_nobody_up(own_chain: ChainClient, coordinator_signer: Signer) -> None:
    outbox = MemoryOutbox()
    outbox.enqueue(bad := refused_row(own_chain))
    rows, _ = enqueue(own_chain, outbox, 3)
    async with sending(own_chain, coordinator_signer, outbox):
        await until(all_done(outbox, rows))
        await until(all_in(outbox, [bad], RowState.REVERTED))


async def test_a_transaction_that_reverts_in_its_block_is_told_why(
    own_chain: ChainClient, coordinator_signer: Signer
) -> None:
    outbox = MemoryOutbox()
    outbox.enqueue(row := refused_row(own_chain, gas_limit=100_000))
    async with sending(own_chain, coordinator_signer, outbox):
        await until(all_in(outbox, [row], RowState.REVERTED))
    refusal, inclusion = outbox.refusal_of(row.key), outbox.inclusion_of(row.key)
    assert refusal is not None
    assert inclusion is not None
    assert refusal.name == "QueryLedgerWrongStatus"
    receipt = await own_chain.receipt(inclusion.transaction_hash)
    assert receipt is not None
    assert not receipt.succeeded


class MinedStateRpc(JsonRpc):
    """A node that estimates on the latest block, as most do; anvil also counts what is pending."""

    async def call(self, method: str, *parameters: Any) -> Any:
        state = ("latest",) if method == "eth_estimateGas" else ()
        return await super().call(method, *parameters, *state)


async def test_a_row_that_depends_on_one_under_way_waits_for_it(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    grant_suspender(own_anvil, own_chain, coordinator_signer)
    own_anvil.rpc("evm_setAutomine", False)
    outbox, node = MemoryOutbox(), Signer.new()
    rows = [
        OutboxRow("first", registering(own_chain, node, Role.MPC_NODE)),
        OutboxRow("second", suspension(own_chain, node.account)),
    ]
    for row in rows:
        outbox.enqueue(row)
    async with (
        ChainClient(MinedStateRpc(own_anvil.url), own_chain.contracts) as client,
        sending(client, coordinator_signer, outbox),
    ):
        await until(all_in(outbox, rows[:1], RowState.SENT))
        await asyncio.sleep(0.5)
        assert outbox.state_of("second") is RowState.DUE
        own_anvil.rpc("evm_setAutomine", True)
        own_anvil.rpc("evm_mine")
        await until(all_done(outbox, rows))


async def test_what_a_reorganisation_dropped_is_sent_again(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    outbox = MemoryOutbox()
    async with sending(own_chain, coordinator_signer, outbox):
        rows, nodes = enqueue(own_chain, outbox, 3)
        await until(all_done(outbox, rows))
        before = [outbox.inclusion_of(one.key) for one in rows]
        own_anvil.rpc("anvil_reorg", 3, [])
        assert not await registered(own_chain, nodes)
        await until(lambda: [outbox.inclusion_of(one.key) for one in rows] != before)
        await until(all_done(outbox, rows))
        await until_registered(own_chain, nodes)
    after = [outbox.inclusion_of(one.key) for one in rows]
    assert [one.transaction_hash for one in after if one] == [one.transaction_hash for one in before if one]


async def test_a_stuck_transaction_is_paid_an_eighth_more_until_it_is_mined(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    own_anvil.rpc("evm_setAutomine", False)
    outbox = MemoryOutbox()
    rows, nodes = enqueue(own_chain, outbox, 1)
    async with sending(own_chain, coordinator_signer, outbox):
        await until(all_in(outbox, rows, RowState.SENT))
        async with asyncio.timeout(10):
            while len((await outbox.outstanding(coordinator_signer.account))[0].attempts) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        own_anvil.rpc("evm_mine")
        await until(all_done(outbox, rows))
    (held,) = await outbox.outstanding(coordinator_signer.account)
    for earlier, later in zip(held.attempts, held.attempts[1:], strict=False):
        assert later.nonce == earlier.nonce
        assert later.max_fee_wei * 8 >= earlier.max_fee_wei * 9
        assert later.priority_fee_wei * 8 >= earlier.priority_fee_wei * 9
    assert held.included is not None
    assert held.included.transaction_hash in {one.transaction_hash for one in held.attempts[1:]}
    assert await registered(own_chain, nodes)


async def test_a_price_above_the_fees_offered_is_met(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    own_anvil.rpc("evm_setAutomine", False)
    outbox = MemoryOutbox()
    rows, _ = enqueue(own_chain, outbox, 2)
    async with sending(own_chain, coordinator_signer, outbox):
        await until(all_in(outbox, rows, RowState.SENT))
        own_anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
        own_anvil.rpc("evm_mine")
        own_anvil.rpc("evm_setAutomine", True)
        await until(all_done(outbox, rows))
    for one in await outbox.outstanding(coordinator_signer.account):
        assert one.included is not None
        assert one.included.transaction_hash != one.attempts[0].transaction_hash
        assert one.attempts[-1].max_fee_wei > 50 * 10**9


async def test_a_transaction_the_node_forgot_is_sent_again(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    own_anvil.rpc("evm_setAutomine", False)
    outbox = MemoryOutbox()
    rows, _ = enqueue(own_chain, outbox, 2)
    async with sending(
        own_chain, coordinator_signer, outbox, SendingPolicy(poll_seconds=0.05, resend_seconds=0.2)
    ):
        await until(all_in(outbox, rows, RowState.SENT))
        own_anvil.rpc("anvil_dropAllTransactions")
        own_anvil.rpc("evm_setAutomine", True)
        await until(all_done(outbox, rows))
    assert all(len(one.attempts) == 1 for one in await outbox.outstanding(coordinator_signer.account))


async def test_a_sender_killed_after_saving_sends_the_same_bytes(
    own_chain: ChainClient, coordinator_signer: Signer
) -> None:
    outbox = MemoryOutbox()
    rows, nodes = enqueue(own_chain, outbox, 1)
    saved = await signed(own_chain, coordinator_signer, rows[0].call)
    assert await outbox.save_attempt(rows[0].key, coordinator_signer.account, saved, 0)
    async with sending(own_chain, coordinator_signer, outbox):
        await until(all_done(outbox, rows))
    inclusion = outbox.inclusion_of(rows[0].key)
    assert inclusion is not None
    assert inclusion.transaction_hash == saved.transaction_hash
    assert await registered(own_chain, nodes)


async def test_a_nonce_gap_is_filled(own_chain: ChainClient, coordinator_signer: Signer) -> None:
    outbox = MemoryOutbox()
    rows, nodes = enqueue(own_chain, outbox, 1)
    next_nonce = await own_chain.transaction_count(coordinator_signer.account)
    saved = await signed(own_chain, coordinator_signer, rows[0].call, nonce=next_nonce + 2)
    assert await outbox.save_attempt(rows[0].key, coordinator_signer.account, saved, 0)
    async with sending(own_chain, coordinator_signer, outbox):
        await until(all_done(outbox, rows))
    assert await own_chain.transaction_count(coordinator_signer.account) == next_nonce + 3
    assert await registered(own_chain, nodes)


async def test_a_nonce_that_another_program_used_up_is_replaced(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer, signers: list[Signer]
) -> None:
    outbox = MemoryOutbox()
    rows, nodes = enqueue(own_chain, outbox, 1)
    saved = await signed(own_chain, coordinator_signer, rows[0].call)
    assert await outbox.save_attempt(rows[0].key, coordinator_signer.account, saved, 0)
    foreign = {"from": coordinator_signer.account, "to": signers[0].account, "value": "0x1"}
    own_anvil.rpc("eth_sendTransaction", foreign)
    async with sending(own_chain, coordinator_signer, outbox):
        await until(all_done(outbox, rows))
    assert await registered(own_chain, nodes)


async def test_two_senders_of_one_account_and_outbox_lose_and_repeat_nothing(
    own_chain: ChainClient, coordinator_signer: Signer
) -> None:
    outbox = MemoryOutbox()
    rows, nodes = enqueue(own_chain, outbox, 20)
    before = await own_chain.transaction_count(coordinator_signer.account)
    async with (
        sending(own_chain, coordinator_signer, outbox),
        sending(own_chain, coordinator_signer, outbox),
    ):
        await until(all_done(outbox, rows))
    assert await registered(own_chain, nodes)
    assert await own_chain.transaction_count(coordinator_signer.account) == before + 20


async def test_two_senders_of_one_account_with_outboxes_of_their_own_lose_nothing(
    own_chain: ChainClient, coordinator_signer: Signer
) -> None:
    outboxes = MemoryOutbox(), MemoryOutbox()
    made = [enqueue(own_chain, one, 8) for one in outboxes]
    async with (
        sending(own_chain, coordinator_signer, outboxes[0]),
        sending(own_chain, coordinator_signer, outboxes[1]),
    ):
        for outbox, (rows, _) in zip(outboxes, made, strict=True):
            await until(all_done(outbox, rows), 30)
    for _, nodes in made:
        assert await registered(own_chain, nodes)


async def test_a_node_that_is_down_is_waited_for(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    outbox = MemoryOutbox()
    rows, nodes = enqueue(own_chain, outbox, 2)
    own_anvil.stop()
    async with sending(own_chain, coordinator_signer, outbox) as sender:
        await until(lambda: sender.problem is not None)
        assert "gives no answer" in str(sender.problem)
        own_anvil.start()
        await until(all_done(outbox, rows))
        assert sender.problem is None
    assert await registered(own_chain, nodes)


async def test_rows_become_final_once_they_are_deep_enough(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    outbox = MemoryOutbox()
    rows, _ = enqueue(own_chain, outbox, 1)
    async with sending(own_chain, coordinator_signer, outbox):
        await until(all_done(outbox, rows))
        own_anvil.rpc("anvil_mine", hex(SendingPolicy().watch_blocks))
        await until(all_in(outbox, rows, RowState.FINAL))
