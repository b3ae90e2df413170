"""Transactions that are sent one by one, where the fee is too low or an earlier one is in the way."""

import asyncio

import pytest
from fixtures.chain import Anvil
from sending import QUICK, registration_row

from soterone.chain.client import ChainClient
from soterone.chain.direct_sender import DirectSender, NotMinedError
from soterone.chain.records import NodeStatus
from soterone.chain.sender import SendingPolicy
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account


@pytest.fixture
def unmined(own_anvil: Anvil) -> Anvil:
    """A chain that makes no blocks until it is told to."""
    own_anvil.rpc("evm_setAutomine", False)
    return own_anvil


def offers(anvil: Anvil, sender: Account) -> dict[str, int]:
    """What the pool's transactions of an account offer for a unit of gas, by nonce."""
    pool = anvil.rpc("txpool_content")["pending"]
    found = next((pool[one] for one in pool if one.lower() == sender.lower()), {})
    return {nonce: int(one["maxFeePerGas"], 16) for nonce, one in found.items()}


async def until_dearer(anvil: Anvil, sender: Account, than_wei: int) -> int:
    async with asyncio.timeout(20):
        while not (found := offers(anvil, sender)) or max(found.values()) <= than_wei:  # noqa: ASYNC110 - no news of it
            await asyncio.sleep(0.02)
    (offer,) = found.values()
    return offer


async def test_a_stuck_transaction_is_replaced_by_dearer_ones(
    own_chain: ChainClient, unmined: Anvil, coordinator_signer: Signer
) -> None:
    row, node = registration_row(own_chain)
    account = coordinator_signer.account
    nonce = await own_chain.transaction_count(account)
    task = asyncio.create_task(DirectSender(own_chain, coordinator_signer, policy=QUICK).send(row.call))
    first = await until_dearer(unmined, account, 0)
    second = await until_dearer(unmined, account, first)
    assert second >= first * 9 // 8
    await until_dearer(unmined, account, second)
    unmined.rpc("anvil_mine", "0x1")
    receipt = await task
    assert receipt.succeeded
    assert offers(unmined, account) == {}
    assert await own_chain.transaction_count(account) == nonce + 1
    assert (await own_chain.node_of(node)).status is NodeStatus.ACTIVE


async def test_what_an_earlier_run_left_behind_is_replaced(
    own_chain: ChainClient, unmined: Anvil, coordinator_signer: Signer
) -> None:
    (left, _), (row, node) = registration_row(own_chain), registration_row(own_chain)
    with pytest.raises(NotMinedError, match="was not mined within"):
        await DirectSender(own_chain, coordinator_signer, 0.5).send(left.call)
    first = await until_dearer(unmined, coordinator_signer.account, 0)
    task = asyncio.create_task(DirectSender(own_chain, coordinator_signer).send(row.call))
    await until_dearer(unmined, coordinator_signer.account, first)
    unmined.rpc("anvil_mine", "0x1")
    assert (await task).succeeded
    assert (await own_chain.node_of(node)).status is NodeStatus.ACTIVE


async def test_no_more_is_offered_than_allowed(
    own_chain: ChainClient, unmined: Anvil, coordinator_signer: Signer
) -> None:
    row, _ = registration_row(own_chain)
    head, tip_wei = await own_chain.head(), await own_chain.priority_fee_wei()
    most_wei = 2 * head.base_fee_wei + tip_wei
    policy = SendingPolicy(stuck_seconds=0.1, max_fee_wei=most_wei)
    with pytest.raises(NotMinedError):
        await DirectSender(own_chain, coordinator_signer, 1.0, policy).send(row.call)
    assert list(offers(unmined, coordinator_signer.account).values()) == [most_wei]
