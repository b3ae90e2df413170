"""The audit of an honest chain, of a chain whose storage was falsified, and through RPCs that lie."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from fixtures.chain import Anvil
from nodes import dispatched, domain, mined, registering, registration, soon

from soterone.audit.auditor import audit
from soterone.audit.report import Report
from soterone.chain.calls import CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.codec import event_codecs
from soterone.chain.json_rpc import JsonRpc
from soterone.chain.openings import result_hash
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Feedback, Unregistration, sign
from soterone.domain.failures import FailureReason
from soterone.domain.ids import QueryId, hash_bytes
from soterone.domain.roles import Role

SHARES = (b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)


@pytest_asyncio.fixture
async def query(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer]
) -> AsyncIterator[QueryId]:
    """One query completed, cleaned, settled and rated; another failed; a third still running."""
    calls = CallBuilder(own_chain.contracts.addresses)
    order, opening = await dispatched(own_chain, coordinator_signer, signers)
    query = await own_chain.query_id_of(order.customer, order.salt)
    await mined(own_chain, coordinator_signer, calls.complete(query, opening, SHARES))
    opening = opening.completed(result_hash(SHARES))
    await mined(own_chain, coordinator_signer, calls.cleanup(query))
    await mined(own_chain, coordinator_signer, calls.settle(query, opening, [100, 90, 100, 50, 0]))
    message = Feedback(hash_bytes(query), order.mpcs[:2], (100, 20), soon())
    signature = sign(signers[0], domain(own_chain, "ReputationLedger"), message)
    await mined(own_chain, coordinator_signer, calls.give_feedback(message, opening, signature))
    second, second_opening = await dispatched(own_chain, coordinator_signer, signers)
    failing = await own_chain.query_id_of(second.customer, second.salt)
    reason = FailureReason.OWNER_LOST
    await mined(own_chain, coordinator_signer, calls.fail(failing, second_opening, reason, second.owners[0]))
    await dispatched(own_chain, coordinator_signer, signers)
    yield query


def complaints(report: Report) -> str:
    return "\n".join(sentence for check in report.checks for sentence in check.contradictions)


async def test_an_honest_chain_agrees_with_itself(own_chain: ChainClient, query: QueryId) -> None:
    report = await audit(own_chain)
    assert report.ok, complaints(report)
    examined = {check.name: check.examined for check in report.checks}
    assert examined["queries keep the lifecycle"] == 3
    assert examined["scores follow the formula"] == 8
    assert examined["the registry holds what was announced"] == 5


async def test_a_node_that_left_and_one_that_came_back_agree_too(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer]
) -> None:
    calls, registry = CallBuilder(own_chain.contracts.addresses), domain(own_chain, "NodeRegistry")
    for node in signers[:2]:
        await mined(own_chain, coordinator_signer, registering(own_chain, node, Role.MPC_NODE))
        leaving = Unregistration(node.account, 1, soon())
        await mined(own_chain, coordinator_signer, calls.unregister(leaving, sign(node, registry, leaving)))
    back = replace(registration(signers[1].account, Role.MPC_NODE), incarnation=2)
    await mined(own_chain, coordinator_signer, calls.register(back, sign(signers[1], registry, back)))
    report = await audit(own_chain)
    assert report.ok, complaints(report)


async def test_falsified_storage_is_caught(own_anvil: Anvil, own_chain: ChainClient, query: QueryId) -> None:
    ledger = own_chain.contracts.addresses["QueryLedger"]
    stored = {
        place: own_anvil.rpc("eth_getStorageAt", ledger, place, "latest")
        for place in (
            f"0x{keccak(encode(['bytes32', 'uint256'], [hash_bytes(query), n])).hex()}" for n in range(12)
        )
    }
    (slot,) = [place for place, value in stored.items() if int(value, 16)]
    forged = f"0x{int(stored[slot], 16) ^ (1 << 255):064x}"
    own_anvil.rpc("anvil_setStorageAt", ledger, slot, forged)
    forged_low = f"0x{int(stored[slot], 16) ^ 1:064x}"
    assert not (await audit(own_chain)).ok
    own_anvil.rpc("anvil_setStorageAt", ledger, slot, forged_low)
    report = await audit(own_chain)
    assert f"query {query} commits to other participants" in complaints(report)


class LyingRpc(JsonRpc):
    """An RPC that changes what it says of the logs."""

    def __init__(self, url: str, lie: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        super().__init__(url)
        self._lie = lie

    async def call(self, method: str, *parameters: Any) -> Any:
        answer = await super().call(method, *parameters)
        return self._lie(answer) if method == "eth_getLogs" else answer


def topic_of(event: str) -> str:
    return next(topic for topic, codec in event_codecs().items() if codec.name == event)


async def audit_through(
    lie: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], chain: ChainClient
) -> Report:
    async with ChainClient(LyingRpc(chain.rpc.endpoint, lie), chain.contracts) as liar:
        return await audit(liar)


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ("QueryCleanup", "its events give QueryState(status=<QueryStatus.COMPLETED: 2>"),
        ("QuerySettled", "was rated before it was settled"),
        ("QueryDispatched", "while it did not run"),
        ("FeedbackGiven", "the formula gives no update"),
        ("ReputationUpdated", "the chain never showed"),
        ("NodeRegistered", "the record of"),
    ],
)
async def test_an_rpc_that_keeps_events_back_is_caught(
    own_chain: ChainClient, query: QueryId, event: str, complaint: str
) -> None:
    topic = topic_of(event)
    report = await audit_through(lambda logs: [log for log in logs if log["topics"][0] != topic], own_chain)
    assert not report.ok
    assert complaint in complaints(report)


async def test_a_forged_score_is_caught(own_chain: ChainClient, query: QueryId) -> None:
    topic = topic_of("ReputationUpdated")

    def raise_the_score(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {**log, "data": f"0x{999_999_999:064x}{log['data'][66:]}"} if log["topics"][0] == topic else log
            for log in logs
        ]

    report = await audit_through(raise_the_score, own_chain)
    assert "score=999999999" in complaints(report)
