"""How a standing came about: read from the chain and from the coordinator's rows, both the same, and from liars."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from audits import LyingRpc, complaints, topic_of
from fixtures.chain import Anvil
from nodes import dispatched, domain, mined, registration, soon
from sending import grant

from coordinator.chain.log_rows import log_of
from coordinator.database import Database
from coordinator.reputation import history_page
from soterone.audit.auditor import audit
from soterone.audit.report import Report
from soterone.chain.calls import Call, CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.codec import encode_call
from soterone.chain.openings import result_hash
from soterone.chain.records import NodeStatus
from soterone.chain.reputation_history import (
    Cause,
    HistoryContradictedError,
    UnexplainedUpdateError,
    read_history,
)
from soterone.chain.standing import read_standing
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Feedback, Unregistration, sign
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.reputation import ONE, PRIOR_SCORE
from soterone.domain.roles import Role

SHARES = (b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)


async def act(chain: ChainClient, sender: Signer, contract: str, function: str, *arguments: object) -> int:
    """Call a contract and return the block's number."""
    call = Call(
        chain.contracts.addresses[contract],
        encode_call(contract, function, *arguments),
        f"{function} for a test",
    )
    return (await mined(chain, sender, call)).block.number


@pytest_asyncio.fixture
async def node(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer, signers: list[Signer]
) -> AsyncIterator[Account]:
    """An MPC node to which everything happened: served, rated, accused wrongly and rightly, suspended, readmitted,
    left and back."""
    calls, registry = CallBuilder(own_chain.contracts.addresses), domain(own_chain, "NodeRegistry")
    coordinator = coordinator_signer
    for contract, role in (("ReputationLedger", "PENALTY_ROLE"), ("NodeRegistry", "SUSPENDER_ROLE")):
        grant(own_anvil, own_chain, contract, role, coordinator)
    order, opening = await dispatched(own_chain, coordinator, signers)
    query = await own_chain.query_id_of(order.customer, order.salt)
    await mined(own_chain, coordinator, calls.complete(query, opening, SHARES))
    opening = opening.completed(result_hash(SHARES))
    await mined(own_chain, coordinator, calls.settle(query, opening, [100, 90, 100, 50, 0]))
    node = opening.roster.participants[2]
    signer = next(one for one in signers if one.account == node)
    message = Feedback(hash_bytes(query), (node,), (80,), soon())
    rating = sign(signers[0], domain(own_chain, "ReputationLedger"), message)
    await mined(own_chain, coordinator, calls.give_feedback(message, opening, rating))
    await act(own_chain, coordinator, "ReputationLedger", "penalise", node, 2)
    epoch = (await own_chain.record_of(node))[2]
    accuser = signers[1].account
    await act(own_chain, coordinator, "ReputationLedger", "reverse", node, 8 * ONE, epoch, [accuser])
    await act(own_chain, coordinator, "ReputationLedger", "penalise", node, 3)
    await act(own_chain, coordinator, "NodeRegistry", "setSuspended", node, False)
    leaving = Unregistration(node, 1, soon())
    await mined(own_chain, coordinator, calls.unregister(leaving, sign(signer, registry, leaving)))
    back = replace(registration(node, Role.MPC_NODE), incarnation=2)
    await mined(own_chain, coordinator, calls.register(back, sign(signer, registry, back)))
    yield node


async def test_a_history_says_what_happened_and_why(own_chain: ChainClient, node: Account) -> None:
    steps = (await read_history(own_chain, node, 100))[::-1]
    assert [step.cause for step in steps] == [
        Cause.REGISTERED,
        Cause.SETTLED,
        Cause.RATED,
        Cause.PENALISED,
        Cause.REVERSED,
        Cause.PENALISED,
        Cause.SUSPENDED,
        Cause.READMITTED,
        Cause.UNREGISTERED,
        Cause.REGISTERED,
        Cause.RENEWED,
    ]
    _, settled, rated, wrong, reversed_, right, suspended, *_, back, renewed = steps
    assert (settled.percent, settled.good, settled.bad) == (100, ONE, 0)
    assert (rated.percent, rated.good, rated.query_id) == (80, ONE + 45_000_000, settled.query_id)
    assert rated.customer is not None
    assert (wrong.severity, wrong.bad, wrong.query_id) == (2, 8 * ONE, None)
    assert (reversed_.reversed_evidence, reversed_.bad, reversed_.score) == (8 * ONE, 0, PRIOR_SCORE)
    assert (right.severity, right.bad) == (3, 32 * ONE)
    assert (suspended.score, back.incarnation) == (None, 2)
    assert (renewed.good, renewed.bad) == (0, 32 * ONE)
    assert [step.position for step in steps] == sorted(step.position for step in steps)
    head = await own_chain.head()
    assert all(head.timestamp - 600 < step.time <= head.timestamp for step in steps)
    newest = await read_history(own_chain, node, 3)
    assert newest == steps[:-4:-1]


async def test_what_names_a_node_in_another_place_is_no_step_of_it(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer], node: Account
) -> None:
    before = await read_history(own_chain, node, 100)
    registry = domain(own_chain, "NodeRegistry")
    ward = replace(registration(signers[7].account, Role.MPC_NODE), operator=node)
    operator = next(one for one in signers if one.account == node)
    signatures = [sign(signer, registry, ward) for signer in (signers[7], operator)]
    call = CallBuilder(own_chain.contracts.addresses).register(ward, *signatures)
    await mined(own_chain, coordinator_signer, call)
    assert await read_history(own_chain, node, 100) == before


async def test_the_views_say_where_it_ends(own_chain: ChainClient, node: Account) -> None:
    standing = await read_standing(own_chain, node)
    assert (standing.status, standing.incarnation) == (NodeStatus.ACTIVE, 2)
    assert standing.score == await own_chain.score_of(node)
    assert standing.score == min(standing.expectation, standing.tenure_cap)
    assert standing.lower_bound < standing.score < standing.tenure_cap == PRIOR_SCORE
    assert (standing.record.good, standing.record.bad, standing.record.incarnation) == (0, 32 * ONE, 2)
    nobody = await read_standing(own_chain, Account("0x" + "01" * 20))
    assert (nobody.status, nobody.score, nobody.record.last_epoch) == (NodeStatus.NONE, PRIOR_SCORE, 0)
    assert await read_history(own_chain, Account("0x" + "01" * 20), 9) == ()


async def audit_without_quorum(chain: ChainClient) -> Report:
    """Audit the other contracts alone: beside a quorum, penalties need claims."""
    addresses = {name: one for name, one in chain.contracts.addresses.items() if name != "DetectorQuorum"}
    return await audit(ChainClient(chain.rpc, replace(chain.contracts, addresses=addresses)))


async def test_the_audit_follows_penalties_and_reversals(own_chain: ChainClient, node: Account) -> None:
    report = await audit_without_quorum(own_chain)
    assert report.ok, complaints(report)


async def test_a_reversal_of_what_was_never_added_is_no_honest_one(
    own_chain: ChainClient, coordinator_signer: Signer, node: Account
) -> None:
    epoch = (await own_chain.record_of(node))[2]
    await act(own_chain, coordinator_signer, "ReputationLedger", "reverse", node, 7 * ONE, epoch, [])
    assert f"reversal for {node} of 7000000000 that no penalty" in complaints(
        await audit_without_quorum(own_chain)
    )


async def test_the_coordinators_pages_say_what_the_chain_says(
    own_chain: ChainClient, node: Account, database: Database
) -> None:
    head = await own_chain.head()
    events = await own_chain.events_between(0, head.number)
    blocks = await own_chain.blocks([event.position.block_number for event in events])
    async with database.transaction() as session:
        for event, block in zip(events, blocks, strict=True):
            assert block is not None
            session.add(log_of(event, block.timestamp))
    expected = await read_history(own_chain, node, 100)
    for size in (1, 4, 11, 12):
        read, before = [], None
        while True:
            steps, before = await history_page(database, node, before, size)
            assert len(steps) <= size
            read += steps
            if before is None:
                break
        assert tuple(read) == expected
    assert await history_page(database, Account("0x" + "01" * 20), None, 5) == ([], None)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ("QuerySettled", UnexplainedUpdateError),
        ("FeedbackGiven", UnexplainedUpdateError),
        ("ReputationUpdated", HistoryContradictedError),
    ],
)
async def test_an_rpc_that_keeps_events_back_is_caught(
    own_chain: ChainClient, node: Account, event: str, error: type[Exception]
) -> None:
    topic = topic_of(event)
    with pytest.raises(error, match="use another RPC"):
        await history_through(
            lambda logs: [log for log in logs if log["topics"][0] != topic], own_chain, node
        )


async def test_an_rpc_that_invents_a_score_is_caught(own_chain: ChainClient, node: Account) -> None:
    topic = topic_of("ReputationUpdated")

    def raise_the_score(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {**log, "data": f"0x{999_999_999:064x}{log['data'][66:]}"} if log["topics"][0] == topic else log
            for log in logs
        ]

    with pytest.raises(HistoryContradictedError, match="use another RPC"):
        await history_through(raise_the_score, own_chain, node)


async def history_through(
    lie: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], chain: ChainClient, node: Account
) -> None:
    async with ChainClient(LyingRpc(chain.rpc.endpoint, {"eth_getLogs": lie}), chain.contracts) as liar:
        await read_history(liar, node, 100)
