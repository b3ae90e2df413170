"""Logs of our contracts that are no events: whether a broken contract emitted them or an RPC spoilt them, nobody stands
still for good, and no true event is lost to an RPC that comes to its senses."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from audits import audit_through, changed_logs, complaints, complaints_of, topic_of
from fixtures.chain import Anvil
from following import following, register, until
from nodes import mined
from structlog.testing import capture_logs

from coordinator.rebuilding.reading import read_history
from soterone.audit.asking import what_is_known
from soterone.audit.auditor import audit
from soterone.chain.calls import Call
from soterone.chain.client import ChainClient
from soterone.chain.damaged_logs import DamagedLogsError, UnplacedLogError
from soterone.chain.events import NodeRegistered
from soterone.chain.json_rpc import JsonRpc
from soterone.chain.records import Receipt
from soterone.crypto.accounts import Signer, account_bytes

DIRTY = b"\x01".ljust(12, b"\0")
"""What stands above the address of a topic."""

_EMIT = bytes.fromhex("6060606060003760403560203560003560606000a3")
"""CALLDATACOPY of three words, CALLDATALOAD of three topics that stand before them, LOG3."""


async def break_contract(own_anvil: Anvil, chain: ChainClient, payer: Signer, node: Signer) -> Receipt:
    """Have the ledger emit, in a block of its own, an update of a node whose topic is no address."""
    ledger = chain.contracts.addresses["ReputationLedger"]
    code = own_anvil.rpc("eth_getCode", ledger, "latest")
    topics = bytes.fromhex(topic_of("ReputationUpdated")[2:]) + DIRTY + account_bytes(node.account)
    own_anvil.rpc("anvil_setCode", ledger, f"0x{_EMIT.hex()}")
    try:
        return await mined(chain, payer, Call(ledger, topics + bytes(4 * 32), "a log that is no event"))
    finally:
        own_anvil.rpc("anvil_setCode", ledger, code)


def dirty(log: dict[str, Any]) -> dict[str, Any]:
    return {**log, "topics": [log["topics"][0], f"0x01{log['topics'][1][4:]}", *log["topics"][2:]]}


class SpoilingRpc(JsonRpc):
    """An RPC that spoils the registrations among the logs, as long as it lies."""

    lies = True

    async def call(self, method: str, *parameters: Any) -> Any:
        return self._said(method, await super().call(method, *parameters))

    async def batch(self, calls: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        answers = await super().batch(calls)
        return [self._said(method, answer) for (method, _), answer in zip(calls, answers, strict=True)]

    def _said(self, method: str, answer: Any) -> Any:
        spoil = changed_logs("NodeRegistered", self._spoil)["eth_getLogs"]
        if not self.lies or not answer:
            return answer
        if method == "eth_getBlockReceipts":
            return [{**one, "logs": spoil(one["logs"])} for one in answer]
        return spoil(answer) if method == "eth_getLogs" else answer

    def _spoil(self, log: dict[str, Any]) -> dict[str, Any]:
        """The data lose their last byte: the header's Bloom filter knows nothing of them."""
        return {**log, "data": log["data"][:-2]}


async def test_the_audit_names_a_log_that_a_broken_contract_emitted(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer, signers: list[Signer]
) -> None:
    await register(own_chain, signers[0])
    broken = await break_contract(own_anvil, own_chain, coordinator_signer, signers[0])
    await register(own_chain, signers[1])
    assert (await what_is_known(own_chain)).registrations == 2
    report = await audit(own_chain)
    named = f"log 0 of block {broken.block.number} (transaction {broken.transaction_hash}) is no event of Rep"
    (found,) = complaints_of(report, "logs and headers fit together").splitlines()
    assert found.startswith(named)
    assert complaints(report) == found
    assert {check.name: check.examined for check in report.checks}["registrations follow each other"] == 2


async def test_the_audit_names_what_an_rpc_spoilt_and_goes_on(
    own_chain: ChainClient, signers: list[Signer]
) -> None:
    await register(own_chain, signers[0])
    found = complaints(await audit_through(changed_logs("NodeRegistered", dirty), own_chain))
    assert "is no event of NodeRegistry" in found
    assert "that the block's header does not announce" in found


async def test_a_log_without_a_place_is_refused_in_words(
    own_chain: ChainClient, signers: list[Signer]
) -> None:
    await register(own_chain, signers[0])
    lie = changed_logs("NodeRegistered", lambda log: {**dirty(log), "blockNumber": None})
    with pytest.raises(UnplacedLogError, match="use another RPC"):
        await audit_through(lie, own_chain)


@pytest.mark.parametrize("near_blocks", [1, 1_024])
async def test_a_follower_waits_a_while_and_goes_on_loudly(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer], near_blocks: int
) -> None:
    await register(own_chain, signers[0])
    broken = await break_contract(own_anvil, own_chain, signers[5], signers[0])
    await register(own_chain, signers[1])
    own_anvil.rpc("anvil_mine", "0x3")
    began = time.monotonic()
    with capture_logs() as said:
        async with following(
            own_chain, poll_seconds=0.05, near_blocks=near_blocks, damaged_log_seconds=0.5
        ) as running:
            await until(lambda: len(running.journal.nodes) == 2)
    assert time.monotonic() - began >= 0.5
    (told,) = [one for one in said if one["event"] == "damaged_log_left_out"]
    assert told["log_level"] == "error"
    assert (told["block"], told["transaction"]) == (broken.block.number, broken.transaction_hash)
    assert any("The contract is broken, or" in one.get("problem", "") for one in said)


@pytest.mark.parametrize("blocks_later", [0, 5])
async def test_an_event_that_an_rpc_spoils_for_a_while_is_not_lost(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer], blocks_later: int
) -> None:
    await register(own_chain, signers[0])
    own_anvil.rpc("anvil_mine", hex(blocks_later))
    rpc = SpoilingRpc(own_anvil.url)
    async with (
        ChainClient(rpc, own_chain.contracts) as client,
        following(client, poll_seconds=0.05, near_blocks=2) as running,
    ):
        await until(lambda: running.follower.seen is not None)
        await asyncio.sleep(0.3)
        assert running.journal.nodes == []
        assert running.follower.answer_age_seconds is None
        rpc.lies = False
        await until(lambda: running.journal.nodes == [signers[0].account])


async def test_a_follower_says_which_log_it_waits_for(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    await register(own_chain, signers[0])
    broken = await break_contract(own_anvil, own_chain, signers[5], signers[0])
    async with following(own_chain, poll_seconds=0.05) as running:
        await until(lambda: running.follower.seen is not None)
        with pytest.raises(DamagedLogsError, match=f"of block {broken.block.number}"):
            await running.follower.catch_up()


async def test_a_rebuild_reads_the_rest(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    await register(own_chain, signers[0])
    await break_contract(own_anvil, own_chain, signers[5], signers[0])
    await register(own_chain, signers[1])
    history = await read_history(own_chain, 1, damaged_log_seconds=0.2)
    nodes = [event.node for event, _ in history.events if isinstance(event, NodeRegistered)]
    assert nodes == [one.account for one in signers[:2]]


async def test_who_reads_once_asks_again_and_leaves_it_out(
    own_chain: ChainClient, own_anvil: Anvil, signers: list[Signer]
) -> None:
    await register(own_chain, signers[0])
    async with ChainClient(SpoilingRpc(own_anvil.url), own_chain.contracts) as client:
        with capture_logs() as said:
            events = await client.events_between(0, (await client.head()).number)
    assert not [one for one in events if isinstance(one, NodeRegistered)]
    assert events
    assert [one["event"] for one in said] == ["damaged_log_left_out"]
