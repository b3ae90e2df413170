"""The client, the calls, the openings and the events against the real contracts."""

from dataclasses import replace

import pytest
from eth_utils.crypto import keccak
from fixtures.chain import Anvil
from nodes import ascending, dispatched, domain, mined, order_of, registering, registration, soon
from web3 import Web3

from soterone.chain import events
from soterone.chain.artifacts import load_artifact
from soterone.chain.calls import CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.errors import (
    ChainUnreachableError,
    ContractMissingError,
    RevertedError,
    RpcError,
    WrongChainError,
)
from soterone.chain.openings import Opening, result_hash
from soterone.chain.records import Contracts, NodeStatus, QueryStatus
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Cancellation, Feedback, LossReport, NodeUpdate, Unregistration, sign
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId, hash32
from soterone.domain.roles import Role

SHARES = (b"\x01" * 32, None, b"\x03" * 32)


@pytest.fixture
def calls(own_chain: ChainClient) -> CallBuilder:
    return CallBuilder(own_chain.contracts.addresses)


async def test_a_query_lives_its_whole_life(
    own_chain: ChainClient, calls: CallBuilder, coordinator_signer: Signer, signers: list[Signer]
) -> None:
    order, opening = await dispatched(own_chain, coordinator_signer, signers)
    query = await own_chain.query_id_of(order.customer, order.salt)
    assert await own_chain.commitment_of(query) == opening.commitment()
    assert (await own_chain.status_of(query)).status is QueryStatus.DISPATCHED

    done = await mined(own_chain, coordinator_signer, calls.complete(query, opening, SHARES))
    (completed,) = own_chain.reading(done.logs).events
    assert isinstance(completed, events.QueryCompleted)
    assert (completed.query_id, completed.generation) == (query, 0)
    assert completed.result_hash == hash32(result_hash(SHARES))
    opening = opening.completed(result_hash(SHARES))
    assert await own_chain.commitment_of(query) == opening.commitment()

    await mined(own_chain, coordinator_signer, calls.cleanup(query))
    assert (await own_chain.status_of(query)).status is QueryStatus.COMPLETED_CLEANED

    settled = await mined(
        own_chain, coordinator_signer, calls.settle(query, opening, [100, 90, 100, 80, 100])
    )
    first = own_chain.reading(settled.logs).events[0]
    assert isinstance(first, events.QuerySettled)
    assert (first.nodes, first.observations) == (opening.roster.participants, (100, 90, 100, 80, 100))

    message = Feedback(bytes.fromhex(query[2:]), order.mpcs[:2], (100, 20), soon())
    signature = sign(signers[0], domain(own_chain, "ReputationLedger"), message)
    rated = await mined(own_chain, signers[8], calls.give_feedback(message, opening, signature))
    given = own_chain.reading(rated.logs).events
    (feedback,) = [one for one in given if isinstance(one, events.FeedbackGiven)]
    assert (feedback.customer, feedback.nodes, feedback.ratings) == (
        order.customer,
        order.mpcs[:2],
        (100, 20),
    )
    updates = {one.node: one.score for one in given if isinstance(one, events.ReputationUpdated)}
    assert await own_chain.scores_of(order.mpcs[:2]) == tuple(updates[node] for node in order.mpcs[:2])
    (credibility,) = [one.credibility for one in given if isinstance(one, events.CredibilityUpdated)]
    assert await own_chain.credibility_of(order.customer) == credibility


async def test_events_equal_what_web3_decodes(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer, signers: list[Signer]
) -> None:
    await dispatched(own_chain, coordinator_signer, signers)
    head = await own_chain.head()
    found = await own_chain.events_between(0, head.number)
    ours = [one for one in found if not isinstance(one, events.TermsChanged)]
    web3 = Web3(Web3.HTTPProvider(own_anvil.url))
    seen = {}
    for name, address in own_chain.contracts.addresses.items():
        contract = web3.eth.contract(address=Web3.to_checksum_address(address), abi=load_artifact(name).abi)
        announced = {one["name"] for one in contract.abi if one["type"] == "event"} - {"TermsChanged"}
        for kind in (one.__name__ for one in events.Event.__subclasses__()):
            if kind in announced:
                for log in contract.events[kind]().get_logs(from_block=0):
                    seen[log["blockNumber"], log["logIndex"]] = (log["event"], list(log["args"].values()))
    assert len(ours) == len(seen) == 8
    for event in ours:
        name, values = seen[event.position.block_number, event.position.log_index]
        assert type(event).__name__ == name
        mine = [getattr(event, field) for field in event.__dataclass_fields__ if field != "position"]
        assert mine == [
            hash32(bytes(one)) if isinstance(one, bytes) else tuple(one) if isinstance(one, list) else one
            for one in values
        ]


async def test_nodes_register_update_and_leave(
    own_chain: ChainClient, calls: CallBuilder, signers: list[Signer]
) -> None:
    node, payer = signers[0], signers[1]
    assert (await own_chain.node_of(node.account)).status is NodeStatus.NONE
    await mined(own_chain, payer, registering(own_chain, node, Role.MPC_NODE))
    record = await own_chain.node_of(node.account)
    assert (record.status, record.roles, record.incarnation) == (NodeStatus.ACTIVE, Role.MPC_NODE, 1)
    assert record.operator == await own_chain.operator_of(node.account) == node.account
    assert record.commitment == hash32(keccak(b"\x11" * 32 + b"\x22" * 32 + (1).to_bytes(32)))

    registry = domain(own_chain, "NodeRegistry")
    update = NodeUpdate(node.account, 3, 0x000200, b"\x55" * 32, b"\x22" * 32, 2, 1, soon())
    call = calls.update(update, sign(node, registry, update), b"\x11" * 32, b"\x22" * 32)
    (updated,) = own_chain.reading((await mined(own_chain, payer, call)).logs).events
    assert isinstance(updated, events.NodeUpdated)
    assert (updated.profile_version, updated.tls_key_hash) == (2, "0x" + "55" * 32)

    leaving = Unregistration(node.account, 1, soon())
    call = calls.unregister(leaving, sign(node, registry, leaving))
    (gone,) = own_chain.reading((await mined(own_chain, payer, call)).logs).events
    assert isinstance(gone, events.NodeUnregistered)
    assert (await own_chain.node_of(node.account)).status is NodeStatus.GONE


async def test_failed_cancelled_and_expired_queries(
    own_chain: ChainClient,
    own_anvil: Anvil,
    calls: CallBuilder,
    coordinator_signer: Signer,
    signers: list[Signer],
) -> None:
    for end in ("fail", "cancel", "expire"):
        order, opening = await dispatched(own_chain, coordinator_signer, signers)
        query = await own_chain.query_id_of(order.customer, order.salt)
        if end == "fail":
            call = calls.fail(query, opening, FailureReason.OWNER_LOST, order.owners[0])
        elif end == "cancel":
            message = Cancellation(bytes.fromhex(query[2:]), soon())
            call = calls.cancel(message, opening, sign(signers[0], domain(own_chain, "QueryLedger"), message))
        else:
            own_anvil.rpc("evm_increaseTime", 721)
            own_anvil.rpc("evm_mine")
            call = calls.expire(query, opening)
        (failed,) = own_chain.reading((await mined(own_chain, coordinator_signer, call)).logs).events
        assert isinstance(failed, events.QueryFailed)
        assert failed.reason == {"fail": 1, "cancel": 6, "expire": 8}[end]
        assert failed.node == (order.owners[0] if end == "fail" else "0x" + "00" * 20)


async def test_a_lost_mpc_node_is_replaced(
    own_chain: ChainClient,
    own_anvil: Anvil,
    calls: CallBuilder,
    coordinator_signer: Signer,
    signers: list[Signer],
) -> None:
    order, opening = await dispatched(own_chain, coordinator_signer, signers)
    query = await own_chain.query_id_of(order.customer, order.salt)
    successors = signers[6:8]
    for node in successors:
        await mined(own_chain, coordinator_signer, registering(own_chain, node, Role.MPC_NODE))
    seed_block = (await own_chain.head()).number
    own_anvil.rpc("evm_mine")
    reporter = next(one for one in signers if one.account == order.owners[1])
    report = LossReport(bytes.fromhex(query[2:]), 0, order.mpcs[1], soon())
    call = calls.replace_mpc(
        report,
        opening,
        reporter.account,
        sign(reporter, domain(own_chain, "QueryLedger"), report),
        new_mpc=successors[1].account,
        seed_block=seed_block,
        candidates=[one.account for one in successors],
    )
    (replaced,) = own_chain.reading((await mined(own_chain, coordinator_signer, call)).logs).events
    assert isinstance(replaced, events.MPCUpdated)
    assert (replaced.old_mpc, replaced.new_mpc) == (order.mpcs[1], successors[1].account)
    assert (replaced.generation, replaced.seed_block) == (1, seed_block)
    assert replaced.candidates == tuple(one.account for one in successors)
    opening = opening.replaced(order.mpcs[1], successors[1].account)
    assert await own_chain.commitment_of(query) == opening.commitment()
    assert (await own_chain.status_of(query)).generation == 1


async def test_an_uncontested_settlement_after_a_silent_day(
    own_chain: ChainClient,
    own_anvil: Anvil,
    calls: CallBuilder,
    coordinator_signer: Signer,
    signers: list[Signer],
) -> None:
    order, opening = await dispatched(own_chain, coordinator_signer, signers)
    query = await own_chain.query_id_of(order.customer, order.salt)
    await mined(own_chain, coordinator_signer, calls.complete(query, opening, SHARES))
    call = calls.settle_uncontested(query, opening.completed(result_hash(SHARES)))
    with pytest.raises(RevertedError) as refused:
        await own_chain.simulate(call, signers[8].account)
    assert refused.value.name == "ReputationLedgerTooEarly"
    own_anvil.rpc("evm_increaseTime", 86_401)
    own_anvil.rpc("evm_mine")
    settled = await mined(own_chain, signers[8], call)
    first = own_chain.reading(settled.logs).events[0]
    assert isinstance(first, events.QuerySettled)
    assert first.observations == (100,) * 5


async def test_a_refusal_names_error_arguments_and_reads_as_a_sentence(
    chain: ChainClient, coordinator_signer: Signer
) -> None:
    unknown = QueryId("0x" + "ab" * 32)
    call = CallBuilder(chain.contracts.addresses).cleanup(unknown)
    with pytest.raises(RevertedError) as refused:
        await chain.estimate_gas(call, coordinator_signer.account)
    assert refused.value.name == "QueryLedgerWrongStatus"
    assert refused.value.arguments == {"query_id": unknown, "status": 0}
    assert "query ledger wrong status" in str(refused.value)


async def test_a_role_refused_by_an_inherited_error(chain: ChainClient, signers: list[Signer]) -> None:
    call = CallBuilder(chain.contracts.addresses).cleanup(QueryId("0x" + "ab" * 32))
    with pytest.raises(RevertedError) as refused:
        await chain.simulate(call, signers[3].account)
    assert refused.value.name == "AccessControlUnauthorizedAccount"
    assert refused.value.arguments["account"] == signers[3].account


async def test_another_chain_other_code_and_no_code_are_refused(anvil: Anvil, chain: ChainClient) -> None:
    contracts = chain.contracts
    with pytest.raises(WrongChainError, match="serves chain 31337"):
        await ChainClient.connect(anvil.url, replace(contracts, chain_id=1))
    swapped = {**contracts.addresses, "QueryLedger": contracts.addresses["NodeRegistry"]}
    with pytest.raises(ContractMissingError, match="other code"):
        await ChainClient.connect(anvil.url, replace(contracts, addresses=swapped))
    empty = {**contracts.addresses, "QueryLedger": Account("0x" + "11" * 20)}
    with pytest.raises(ContractMissingError, match="no code"):
        await ChainClient.connect(anvil.url, replace(contracts, addresses=empty, code_hashes={}))


async def test_an_unreachable_chain_is_said_without_the_access_key(chain: ChainClient) -> None:
    url = "http://127.0.0.1:1/v3/secret-key?token=secret"
    with pytest.raises(ChainUnreachableError) as refused:
        await ChainClient.connect(url, chain.contracts, timeout_seconds=1)
    assert "127.0.0.1:1" in str(refused.value)
    assert "secret" not in str(refused.value)


async def test_erc1271_wallets_are_asked_and_keys_are_no_wallets(chain: ChainClient, anvil: Anvil) -> None:
    wallet, broken = "0x" + "77" * 20, "0x" + "78" * 20
    # returns the magic value when the digest (calldata word 1) starts with 0x11, else zero
    anvil.rpc("anvil_setCode", wallet, "0x60043560f81c601114631626ba7e0260e01b5f5260205ff3")
    anvil.rpc("anvil_setCode", broken, "0x5f5ffd")
    ask = chain.is_valid_signature
    assert await ask(Account(wallet), b"\x11" * 32, b"signature")
    assert not await ask(Account(wallet), b"\x12" * 32, b"signature")
    assert not await ask(Account(broken), b"\x11" * 32, b"signature")
    assert not await ask(Account("0x" + "79" * 20), b"\x11" * 32, b"signature")


async def test_contracts_known_without_their_code_hashes(anvil: Anvil, chain: ChainClient) -> None:
    known = Contracts(chain.contracts.chain_id, chain.contracts.start_block, chain.contracts.addresses, {})
    async with await ChainClient.connect(anvil.url, known) as client:
        assert (await client.head()).number >= known.start_block


def test_openings_follow_a_replacement(signers: list[Signer]) -> None:
    order = order_of(signers[0], signers[1:3], signers[3:6])
    before = Opening.of_order(order)
    after = before.replaced(order.mpcs[1], signers[7].account)
    assert after.roster.mpcs == (order.mpcs[0], signers[7].account, order.mpcs[2])
    assert after.roster.lost == (order.mpcs[1],)
    assert after.commitment() != before.commitment()
    assert ascending(signers[3:6]) == order.mpcs
    assert registration(order.mpcs[0], Role.MPC_NODE).operator == order.mpcs[0]


async def test_records_are_read_as_they_stood_after_an_earlier_block(
    own_chain: ChainClient, calls: CallBuilder, coordinator_signer: Signer, signers: list[Signer]
) -> None:
    before_all = (await own_chain.head()).number
    order, opening = await dispatched(own_chain, coordinator_signer, signers)
    query, node = await own_chain.query_id_of(order.customer, order.salt), order.mpcs[0]
    done = await mined(own_chain, coordinator_signer, calls.complete(query, opening, SHARES))
    opening = opening.completed(result_hash(SHARES))
    await mined(own_chain, coordinator_signer, calls.settle(query, opening, [100] * 5))
    earlier = await own_chain.record_of(node, done.block.number)
    assert earlier != await own_chain.record_of(node)
    assert await own_chain.record_of(node, (await own_chain.head()).number) == await own_chain.record_of(node)
    assert (await own_chain.node_of(node, before_all)).status is NodeStatus.NONE
    block = await own_chain.block(done.block.number)
    assert block is not None
    assert (block.ref, block.timestamp > 0) == (done.block, True)
    assert await own_chain.epoch_seconds() == 86_400
    with pytest.raises(RpcError):
        await own_chain.record_of(node, (await own_chain.head()).number + 100)
