"""Orders that were tampered with, and queries whose data turn out bad: each ends with a reason, the next one works."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
import yaml
from hospitals import Cells, Hospitals, clinic_table, laboratory_table, refused
from test_refusals_by_nodes import issued_identity
from web3 import Web3

from soterone.chain.artifacts import load_artifact
from soterone.chain.calls import Call, CallBuilder
from soterone.chain.openings import Opening
from soterone.client.customer import Customer
from soterone.client.errors import QueryFailed
from soterone.client.orders import to_order
from soterone.client.query import Query
from soterone.crypto.accounts import Signer, Wallet, account
from soterone.crypto.messages import Domain, Message, sign
from soterone.domain.failures import FailureReason
from soterone.domain.ids import QueryId, hash_bytes, query_id
from soterone.rest.queries import Proposal
from soterone.rpc.channels import peer_channel
from soterone.rpc.generated.peer_pb2 import JoinRequest
from soterone.rpc.generated.peer_pb2_grpc import PeerStub

PLANTED = "Zebra4711"
"""A value that no sentence and no log may repeat."""


@pytest.fixture
def proposal(hospitals: Hospitals, customer: Customer) -> Iterator[Proposal]:
    """Nodes reserved for the query that fits; taken back at the end, and nothing of it is left then."""
    answer = hospitals.propose(customer)
    assert answer.status_code == 201, answer.text
    proposal = Proposal.model_validate(answer.json())
    try:
        yield proposal
    finally:
        cancelled = hospitals.post(customer, f"queries/{proposal.query_id}/cancel", {})
    assert cancelled.json()["status"] == "cancelled"
    assert hospitals.left_behind() == []


def launched(hospitals: Hospitals, customer: Customer, proposal: Proposal, signature: bytes) -> Any:
    """Send a signature of an order, whatever it signs."""
    body = {"query_id": proposal.query_id, "signature": f"0x{signature.hex()}"}
    return hospitals.post(customer, "queries", body)


def signed(customer: Customer, order: Message, wallet: Wallet | None = None, chain_id: int = 0) -> bytes:
    """Sign an order, perhaps as somebody else or for another chain."""
    domain = customer.connection.ledger_domain
    return sign(
        wallet or customer.connection.wallet, Domain(chain_id or domain.chain_id, domain.contract), order
    )


def taken_by_the_chain(hospitals: Hospitals, call: Call) -> bool:
    """Send a call from an account that has coins and nothing else; says whether the contract took it."""
    sender = hospitals.rpc("eth_accounts")["result"][0]
    transaction = {"from": sender, "to": call.to, "data": f"0x{call.data.hex()}", "gas": hex(1_000_000)}
    sent = hospitals.rpc("eth_sendTransaction", transaction)["result"]
    return bool(int(hospitals.rpc("eth_getTransactionReceipt", sent)["result"]["status"], 16))


def calls(customer: Customer) -> CallBuilder:
    """Builds calls to the network's contracts."""
    addresses = {name: account(address) for name, address in customer.network.contracts.items()}
    return CallBuilder(addresses)


def test_signatures_that_are_not_the_customers_over_this_order(
    hospitals: Hospitals, customer: Customer, proposal: Proposal
) -> None:
    order = to_order(proposal.order)
    wrong = {
        "somebody else's": signed(customer, order, Signer.new()),
        "another chain's": signed(customer, order, chain_id=1),
        "another spec's": signed(customer, replace(order, spec_hash=bytes(32))),
        "a later deadline's": signed(customer, replace(order, deadline=order.deadline + 1)),
        "cut": signed(customer, order)[:64],
        "none": b"",
    }
    for name, signature in wrong.items():
        sentence = refused(launched(hospitals, customer, proposal, signature), 403, "sign what was proposed")
        assert f"on chain {customer.network.chain_id}" in sentence, name
    assert customer.ledger.status_of(query_id(proposal.query_id)).status == 0
    hospitals.post(customer, f"queries/{proposal.query_id}/cancel", {})
    refused(launched(hospitals, customer, proposal, signed(customer, order)), 409, "cancelled", "anew")


def test_agents_refuse_an_order_whose_spec_is_not_the_one_they_know(
    hospitals: Hospitals, customer: Customer, proposal: Proposal
) -> None:
    """The customer itself sends another spec's hash to the chain under the id that was reserved."""
    query = query_id(proposal.query_id)
    honest = to_order(proposal.order)
    order = replace(
        honest, spec_hash=b"\x01" * 32, max_run_seconds=10, result_retry_seconds=1, cleanup_grace_seconds=1
    )
    assert taken_by_the_chain(hospitals, calls(customer).dispatch(order, signed(customer, order)))
    hospitals.wait_for_log(
        ["ada", "bela", "cleo", "clinic", "laboratory"], "spec differs from the order on chain"
    )
    assert hospitals.request("GET", f"queries/{query}", customer).json()["status"] == "reserved"
    refused(launched(hospitals, customer, proposal, signed(customer, honest)), 409)
    hospitals.post(customer, f"queries/{query}/cancel", {})
    hospitals.rpc("evm_increaseTime", 60)
    hospitals.rpc("evm_mine")
    assert taken_by_the_chain(hospitals, calls(customer).expire(query, Opening.of_order(order)))
    assert failure_on_chain(hospitals, query)[0] == FailureReason.ABANDONED
    assert hospitals.left_behind() == []


def failure_on_chain(hospitals: Hospitals, query: QueryId) -> tuple[int, str]:
    """Reason and node of QueryFailed, read by web3."""
    ledger = Web3(Web3.HTTPProvider(hospitals.devnet.rpc_url)).eth.contract(
        hospitals.contract("QueryLedger"), abi=load_artifact("QueryLedger").abi
    )
    filters = {"queryId": hash_bytes(query)}
    (log,) = ledger.events.QueryFailed().get_logs(from_block=0, argument_filters=filters)
    return log["args"]["reason"], log["args"]["node"]


def text_in_a_feature() -> tuple[str, Cells]:
    table = laboratory_table()
    return "laboratory", {**table, "texture": [PLANTED, *table["texture"][1:]]}


def nan_in_a_feature() -> tuple[str, Cells]:
    table = laboratory_table()
    return "laboratory", {**table, "texture": [*table["texture"][:-1], "nan"]}


def duplicate_ids() -> tuple[str, Cells]:
    table = laboratory_table()
    return "laboratory", {**table, "id": [PLANTED, PLANTED, *table["id"][2:]]}


def three_classes() -> tuple[str, Cells]:
    table = clinic_table()
    return "clinic", {**table, "malignant": ["2", *table["malignant"][1:]]}


def a_column_gone() -> tuple[str, Cells]:
    table = laboratory_table()
    del table["smoothness"]
    return "laboratory", table


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (text_in_a_feature(), "The column 'texture' has text where numbers are needed"),
        (nan_in_a_feature(), "The column 'texture' has NaN or infinite values"),
        (duplicate_ids(), "The key column 'id' has duplicate ids"),
        (three_classes(), "The label column 'malignant' is not binary"),
        (a_column_gone(), "The feature column 'smoothness' is not in the table"),
    ],
    ids=["text", "nan", "duplicates", "label", "column gone"],
)
def test_a_table_that_changed_for_the_worse(
    hospitals: Hospitals, customer: Customer, spoilt: tuple[str, Cells], words: str
) -> None:
    """The metadata were fine; what is wrong shows when the owner's engine reads the rows."""
    owner, cells = spoilt
    with hospitals.changed_table(owner, cells):
        query = customer.submit(hospitals.query_spec())
        with pytest.raises(QueryFailed, match=words) as failed:
            query.wait()
    assert PLANTED not in str(failed.value)
    failure = query.view().failure
    assert failure is not None
    assert (failure.reason, failure.node) == (FailureReason.BAD_DATA, hospitals.account(owner))
    assert failure_on_chain(hospitals, query.id) == (FailureReason.BAD_DATA, hospitals.account(owner))
    assert hospitals.left_behind() == []


def test_tables_of_different_people(hospitals: Hospitals, customer: Customer) -> None:
    """No id in common; the larger minimum of both owners' policies decides."""
    with (
        hospitals.changed_table("laboratory", laboratory_table(first=5000)),
        hospitals.policy("laboratory", {"minimum_common_rows": 150}),
    ):
        query = customer.submit(hospitals.query_spec())
        with pytest.raises(
            QueryFailed, match="fewer than 150 rows in common, the least their policies allow"
        ):
            query.wait()
    assert failure_on_chain(hospitals, query.id)[0] == FailureReason.TOO_FEW_COMMON_ROWS
    assert hospitals.left_behind() == []


def test_an_order_that_expired(hospitals: Hospitals, customer: Customer, proposal: Proposal) -> None:
    """The chain's clock passes the deadline before the customer signs."""
    order = to_order(proposal.order)
    hospitals.rpc("evm_increaseTime", 3600)
    hospitals.rpc("evm_mine")
    answer = launched(hospitals, customer, proposal, signed(customer, order))
    refused(answer, 409, "deadline of what you signed has passed", "propose or sign anew")


async def test_after_all_that_a_good_query_works(hospitals: Hospitals, customer: Customer) -> None:
    """And works once: its order is worth nothing the second time, and strangers have no say in it."""
    query = customer.submit(hospitals.query_spec())
    hospitals.wait_for_log(["ada"], "session", query.id)
    refused(hospitals.request("GET", f"queries/{query.id}/result", customer), 409)
    code, sentence = await joined_by_a_stranger(hospitals, query)
    assert (code, "on chain for no participant" in sentence) == (grpc.StatusCode.PERMISSION_DENIED, True)
    assert query.wait().status == "completed"
    model = query.model()
    assert model.training_rows > 100
    assert_worth_nothing_again(hospitals, customer, query)
    refused(hospitals.post(customer, f"queries/{query.id}/cancel", {}), 409, "completed already")
    assert hospitals.left_behind() == []


async def joined_by_a_stranger(hospitals: Hospitals, query: Query) -> tuple[grpc.StatusCode, str]:
    """Call a participant's peer service with a certificate whose key is not on chain."""
    ada = hospitals.devnet.agents["ada"].folder
    endpoint = yaml.safe_load((ada / "config.yaml").read_text())["endpoint"]
    certificate = hospitals.identity("ada").certificate_pem
    request = JoinRequest(query_id=hash_bytes(query.id), attempt=9)
    async with peer_channel(endpoint, certificate, issued_identity(hospitals)) as channel:
        for _ in range(100):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await PeerStub(channel).Join(request, timeout=5)
            if error.value.code() is not grpc.StatusCode.UNAVAILABLE:
                break
            await asyncio.sleep(0.05)
    return error.value.code(), error.value.details() or ""


def assert_worth_nothing_again(hospitals: Hospitals, customer: Customer, query: Query) -> None:
    """Send the order once more, to the coordinator and past it to the chain."""
    order = customer.connection.keyring.order(query.id)
    signature = signed(customer, order)
    body = {"query_id": query.id, "signature": f"0x{signature.hex()}"}
    refused(hospitals.post(customer, "queries", body), 409, "an order works once", "propose the query anew")
    before = customer.ledger.status_of(query.id)
    assert not taken_by_the_chain(hospitals, calls(customer).dispatch(order, signature))
    assert customer.ledger.status_of(query.id) == before


def test_no_process_lost_its_composure(hospitals: Hospitals) -> None:
    """Bad input is expected: whatever it was, nobody logged a stack trace or what was planted."""
    for name in ("coordinator", "clinic", "laboratory", "ada", "bela", "cleo"):
        lines = hospitals.logs([name]).splitlines()
        assert [line for line in lines if "Traceback" in line or '"exception"' in line] == [], name
        assert [line for line in lines if PLANTED in line] == [], name
