"""The audit of an honest chain, of falsified storage, and through RPCs that lie."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from audits import LyingRpc, audit_through, changed_logs, complaints, complaints_of, notes_of, small_history
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from fixtures.chain import Anvil
from nodes import domain, mined, registering, registration, soon

from soterone.audit.auditor import Request, audit, run_audit
from soterone.audit.headers import ForgedHeaderError
from soterone.audit.report import AnchorKind, Scope
from soterone.audit.transactions import ForgedTransactionError
from soterone.chain.calls import CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.errors import UnknownBlockError
from soterone.chain.json_rpc import JsonRpc
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Unregistration, sign
from soterone.domain.ids import Hash32, QueryId, hash32, hash_bytes
from soterone.domain.roles import Role

QUERY_WORDS, RECORDS, SCORE_BIT = 6, 6, 144


@pytest_asyncio.fixture
async def query(own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer]) -> QueryId:
    """A query completed, cleaned, settled and rated; another failed; a third still running."""
    return await small_history(own_chain, coordinator_signer, signers)


async def test_an_honest_chain_agrees_with_itself(own_chain: ChainClient, query: QueryId) -> None:
    report = await audit(own_chain)
    assert report.ok, complaints(report)
    examined = {check.name: check.examined for check in report.checks}
    assert examined["queries keep the lifecycle"] == 3
    assert examined["scores follow the formula"] == 8
    assert examined["registrations follow each other"] == 5
    assert examined["events say what was signed and sent"] == 5 + 3 + 1
    assert notes_of(report) == {"logs and headers fit together": "no second RPC was asked"}
    assert examined["results are the hash of their shares"] == 1
    nodes, queries, customers = 5 * (2 + 2), 3 * 2, 1
    assert examined["storage is proven to hold what events give"] == nodes + queries + customers
    assert report.anchor.kind is AnchorKind.UNANCHORED
    assert not report.anchored


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


async def test_a_chain_that_was_reorganised_and_restarted_agrees(
    own_anvil: Anvil, own_chain: ChainClient, query: QueryId
) -> None:
    own_anvil.rpc("anvil_reorg", 2, [])
    report = await audit(own_chain)
    assert report.ok, complaints(report)
    own_anvil.stop()
    own_anvil.start()
    report = await audit(own_chain)
    assert report.ok, complaints(report)


async def test_a_report_on_one_query_or_node_tells_its_steps(
    own_chain: ChainClient, query: QueryId, signers: list[Signer]
) -> None:
    told = (await run_audit(own_chain, Request(Scope(query=query)))).report
    assert [step.event for step in told.steps][:3] == [
        "QuerySubmitted",
        "QueryDispatched",
        "ReplacementLimit",
    ]
    assert [step.event for step in told.steps if step.event.startswith("Query")][2:] == [
        "QueryCompleted",
        "QueryCleanup",
        "QuerySettled",
    ]
    node = signers[3].account
    told = (await run_audit(own_chain, Request(Scope(node=node)))).report
    assert told.steps[0].event == "NodeRegistered"
    assert told.figures.history
    assert all(step.details.get("node", node) == node for step in told.steps)


def query_place(query: QueryId) -> str:
    return f"0x{keccak(encode(['bytes32', 'uint256'], [hash_bytes(query), QUERY_WORDS])).hex()}"


async def falsify(anvil: Anvil, chain: ChainClient, query: QueryId) -> None:
    """Move the time of a query's end."""
    ledger = chain.contracts.addresses["QueryLedger"]
    stored = int(anvil.rpc("eth_getStorageAt", ledger, query_place(query), "latest"), 16)
    anvil.rpc("anvil_setStorageAt", ledger, query_place(query), f"0x{stored ^ (1 << 230):064x}")


async def test_falsified_storage_is_caught(own_anvil: Anvil, own_chain: ChainClient, query: QueryId) -> None:
    await falsify(own_anvil, own_chain, query)
    own_anvil.rpc("evm_mine")
    report = await audit(own_chain)
    assert f"for query {query}, its events give" in complaints(report)
    others = (
        await run_audit(own_chain, Request(Scope(node=own_chain.contracts.addresses["QueryLedger"])))
    ).report
    assert others.ok


async def test_a_falsified_score_in_storage_is_caught(
    own_anvil: Anvil, own_chain: ChainClient, query: QueryId, signers: list[Signer]
) -> None:
    node, ledger = signers[3].account, own_chain.contracts.addresses["ReputationLedger"]
    place = f"0x{keccak(encode(['address', 'uint256'], [node, RECORDS])).hex()}"
    stored = int(own_anvil.rpc("eth_getStorageAt", ledger, place, "latest"), 16)
    own_anvil.rpc("anvil_setStorageAt", ledger, place, f"0x{stored ^ 1 << SCORE_BIT:064x}")
    own_anvil.rpc("evm_mine")
    assert f"for the record of {node}, its events give" in complaints(await audit(own_chain))


def better_score(answer: str) -> str:
    """The last of five scores, raised in what `scoresOf` returns; other answers as they are."""
    words_of_five_scores = 2 + 5
    if len(answer) != 2 + 64 * words_of_five_scores:
        return answer
    return f"{answer[:-64]}{999_999_999:064x}"


async def test_an_rpc_that_shows_other_scores_than_the_contract_is_caught(
    own_chain: ChainClient, query: QueryId
) -> None:
    found = complaints(await audit_through({"eth_call": better_score}, own_chain))
    assert "shows 0.999999999, the formula gives 0." in found


async def test_a_state_that_no_header_knows_is_caught(
    own_anvil: Anvil, own_chain: ChainClient, query: QueryId
) -> None:
    await falsify(own_anvil, own_chain, query)
    report = await audit(own_chain)
    for check in ("storage is proven to hold what events give", "code is proven to be what was deployed"):
        assert "by hashes that do not fit the block's header" in complaints_of(report, check)


class HastyRpc(JsonRpc):
    """A node that takes in a block while it is first asked for a state, and answers from that block's."""

    def __init__(self, anvil: Anvil) -> None:
        super().__init__(anvil.url)
        self._anvil, self.overtaken = anvil, set[str]()

    async def call(self, method: str, *parameters: Any) -> Any:
        if method == "eth_getProof" or (method == "eth_call" and parameters[1] != "latest"):
            if method not in self.overtaken:
                self._anvil.rpc("evm_increaseTime", 30 * 86_400)
                self._anvil.rpc("evm_mine")
                parameters = (*parameters[:-1], "latest")
            self.overtaken.add(method)
        return await super().call(method, *parameters)


async def test_a_node_that_takes_in_a_block_meanwhile_is_asked_again(
    own_anvil: Anvil, own_chain: ChainClient, query: QueryId
) -> None:
    rpc = HastyRpc(own_anvil)
    async with ChainClient(rpc, own_chain.contracts) as hasty:
        report = await audit(hasty)
    assert report.ok, complaints(report)
    assert rpc.overtaken == {"eth_getProof", "eth_call"}


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ("QueryCleanup", "for query"),
        ("QuerySettled", "was rated before it was settled"),
        ("QueryDispatched", "while it did not run"),
        ("QuerySubmitted", "as another order than was submitted"),
        ("FeedbackGiven", "the formula gives no update"),
        ("ReputationUpdated", "the chain never showed"),
        ("NodeRegistered", "which was no active DATA_OWNER"),
    ],
)
async def test_an_rpc_that_keeps_events_back_is_caught(
    own_chain: ChainClient, query: QueryId, event: str, complaint: str
) -> None:
    report = await audit_through(changed_logs(event, lambda log: None), own_chain)
    assert complaint in complaints(report)


async def test_a_forged_score_is_caught(own_chain: ChainClient, query: QueryId) -> None:
    def raised(log: dict[str, Any]) -> dict[str, Any]:
        return {**log, "data": f"0x{999_999_999:064x}{log['data'][66:]}"}

    report = await audit_through(changed_logs("ReputationUpdated", raised), own_chain)
    assert "score=999999999" in complaints(report)


async def test_a_forged_result_and_a_forged_reason_are_caught(own_chain: ChainClient, query: QueryId) -> None:
    def other_result(log: dict[str, Any]) -> dict[str, Any]:
        return {**log, "data": log["data"][:-1] + ("0" if log["data"][-1] != "0" else "1")}

    report = await audit_through(changed_logs("QueryCompleted", other_result), own_chain)
    assert f"query {query} was announced with" in complaints(report)
    assert f"for query {query}, its events give" in complaints(report)

    def timed_out(log: dict[str, Any]) -> dict[str, Any]:
        return {**log, "data": f"0x{7:064x}{log['data'][66:]}"}

    report = await audit_through(changed_logs("QueryFailed", timed_out), own_chain)
    assert "was announced with 7 instead of 1" in complaints(report)


async def test_a_log_that_its_header_does_not_announce_is_caught(
    own_chain: ChainClient, query: QueryId
) -> None:
    def another_node(log: dict[str, Any]) -> dict[str, Any]:
        return {**log, "topics": [log["topics"][0], f"0x{'00' * 12}{'77' * 20}", *log["topics"][2:]]}

    report = await audit_through(changed_logs("NodeRegistered", another_node), own_chain)
    assert "that the block's header does not announce" in complaints(report)


async def test_forged_headers_and_transactions_are_refused(own_chain: ChainClient, query: QueryId) -> None:
    def older(block: dict[str, Any]) -> dict[str, Any]:
        return {**block, "timestamp": hex(int(block["timestamp"], 16) - 1)}

    with pytest.raises(ForgedHeaderError):
        await audit_through({"eth_getBlockByNumber": older}, own_chain)
    with pytest.raises(ForgedTransactionError):
        await audit_through({"eth_getRawTransactionByHash": lambda raw: raw[:-2] + "00"}, own_chain)


async def test_a_second_rpc_anchors_and_names_what_differs(own_chain: ChainClient, query: QueryId) -> None:
    async with ChainClient(JsonRpc(own_chain.rpc.endpoint), own_chain.contracts) as second:
        report = (await run_audit(own_chain, Request(second=second))).report
        assert report.ok
        assert report.anchored
        assert report.anchor.kind is AnchorKind.SECOND_RPC
        silent = changed_logs("CredibilityUpdated", lambda log: None)
        report = await audit_through(silent, own_chain, Request(second=second))
    assert "otherwise than" in complaints(report)


async def test_a_second_rpc_that_has_another_block_with_events_is_named(
    own_chain: ChainClient, query: QueryId
) -> None:
    """Also where both have the same head, of which all blocks below follow."""
    registered = (await own_chain.events_between(0, (await own_chain.head()).number))[0].position

    def other(block: dict[str, Any]) -> dict[str, Any]:
        return {**block, "hash": f"0x{'7' * 64}"} if block["hash"] == registered.block_hash else block

    lying = LyingRpc(own_chain.rpc.endpoint, {"eth_getBlockByNumber": other})
    async with ChainClient(lying, own_chain.contracts) as second:
        report = (await run_audit(own_chain, Request(second=second))).report
    found = complaints_of(report, "logs and headers fit together")
    assert found == (
        f"block {registered.block_number} is {registered.block_hash}, but {own_chain.rpc.endpoint} says 0x{'7' * 64}"
    )


async def test_another_chain_behind_the_second_rpc_is_named(
    tmp_path: Path, own_chain: ChainClient, query: QueryId
) -> None:
    other = Anvil(tmp_path)
    other.start()
    try:
        for _ in range(60):
            other.rpc("evm_mine")
        async with ChainClient(JsonRpc(other.url), own_chain.contracts) as second:
            report = (await run_audit(own_chain, Request(second=second))).report
    finally:
        other.stop()
    assert f"{other.url} says 0x" in complaints(report)
    assert not report.anchored


async def test_a_pinned_hash_anchors(own_chain: ChainClient, query: QueryId) -> None:
    head = await own_chain.head()
    report = (await run_audit(own_chain, Request(pinned=head.hash))).report
    assert report.ok
    assert report.anchored
    assert report.anchor.kind is AnchorKind.PINNED_HASH
    with pytest.raises(UnknownBlockError):
        await run_audit(own_chain, Request(pinned=hash32(b"\x07" * 32)))


async def test_an_rpc_that_shows_another_block_for_a_pinned_hash_is_refused(
    own_chain: ChainClient, query: QueryId
) -> None:
    head = await own_chain.head()
    other = await own_chain.rpc.call("eth_getBlockByNumber", hex(head.number - 1), False)
    with pytest.raises(ForgedHeaderError):
        await audit_through(
            {"eth_getBlockByHash": lambda _: other}, own_chain, Request(pinned=Hash32(head.hash))
        )
