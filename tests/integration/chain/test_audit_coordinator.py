"""What a coordinator might tell of queries and of itself, beside the chain: every falsehood has a name."""

from dataclasses import replace

import pytest
import pytest_asyncio
from audits import SHARES, complaints_about, network, small_history, standing_told
from fixtures.chain import Anvil

from soterone.audit.asking import Told
from soterone.audit.auditor import Request, run_audit
from soterone.chain.client import ChainClient
from soterone.chain.openings import result_hash
from soterone.crypto.accounts import Signer
from soterone.domain.ids import QueryId
from soterone.rest.queries import ParticipantView, QueryView


@pytest_asyncio.fixture
async def query(own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer]) -> QueryId:
    return await small_history(own_chain, coordinator_signer, signers)


def honest(chain: ChainClient, query: QueryId, signers: list[Signer]) -> QueryView:
    """What an honest coordinator tells of the completed query."""
    nodes = [one.account for one in signers[1:6]]
    return QueryView(
        id=query,
        name="",
        status="completed",
        cleaned_up=True,
        generation=0,
        spec=None,
        spec_hash=f"0x{'33' * 32}",
        participants=[
            ParticipantView(account=one, role="data owner" if place < 2 else "mpc node")
            for place, one in enumerate(nodes)
        ],
        result_hash=f"0x{result_hash(SHARES).hex()}",
        created_at="",
    )


async def test_truth_agrees(own_chain: ChainClient, query: QueryId, signers: list[Signer]) -> None:
    told = Told(0, network(own_chain), (), (), (honest(own_chain, query, signers),))
    assert await complaints_about(own_chain, told) == ""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"status": "failed"}, "is failed at the coordinator and completed_cleaned on chain"),
        ({"generation": 1}, "the coordinator says generation 1, the chain gives 0"),
        ({"result_hash": f"0x{'9' * 64}"}, "the coordinator says result hash 0x99"),
        ({"spec_hash": f"0x{'9' * 64}"}, "the coordinator says spec hash 0x99"),
        ({"participants": []}, "the coordinator leaves out 0x"),
        ({"id": f"0x{'9' * 64}"}, "is completed at the coordinator and unknown to the chain"),
    ],
    ids=["status", "generation", "result", "spec", "participants", "invented"],
)
async def test_a_false_word_about_a_query_is_named(
    own_chain: ChainClient, query: QueryId, signers: list[Signer], change: dict[str, object], complaint: str
) -> None:
    view = honest(own_chain, query, signers).model_copy(update=change)
    assert complaint in await complaints_about(own_chain, Told(0, network(own_chain), (), (), (view,)))


async def test_queries_of_the_customer_that_are_kept_back_are_named(
    own_chain: ChainClient, own_anvil: Anvil, query: QueryId, signers: list[Signer]
) -> None:
    customer, now = signers[0].account, (await own_chain.head()).number
    all_told = Told(now, network(own_chain), (), (), (honest(own_chain, query, signers),), customer=customer)
    assert await complaints_about(own_chain, all_told) == "", "they are too young to be missed"
    own_anvil.rpc("anvil_mine", "0x40")
    later = replace(all_told, asked_at=now + 0x40)
    found = (await complaints_about(own_chain, later)).splitlines()
    assert len(found) == 2
    assert all("does not show query" in one and query not in one for one in found)
    none_told = await complaints_about(own_chain, replace(later, queries=()))
    assert f"the coordinator does not show query {query}, which you ordered" in none_told
    for stranger in (None, signers[1].account):
        assert await complaints_about(own_chain, replace(later, customer=stranger)) == ""


@pytest.mark.parametrize(
    ("lie", "complaint"),
    [
        ({}, ""),
        ({"score": 999_999_999}, "says score 999999999, the chain gives"),
        ({"good": 10**11}, "says good and bad evidence (100000000000, "),
        ({"expectation": 7}, "says expectation 7, the chain gives"),
        ({"lower_bound": 7}, "says lower bound 7, the chain gives"),
        ({"credibility": 7}, "says credibility 7, the chain gives 300000000"),
        ({"block": 1}, "in block 1, it should speak of this node in one of the blocks"),
        ({"account": f"0x{'77' * 20}"}, "speaks of 0x7777777777777777777777777777777777777777"),
        ({"history": []}, "keeps back a step (settled)"),
    ],
    ids=["truth", "score", "evidence", "expectation", "bound", "credibility", "block", "account", "history"],
)
async def test_a_false_word_about_a_standing_is_named(
    own_chain: ChainClient,
    own_anvil: Anvil,
    query: QueryId,
    signers: list[Signer],
    lie: dict[str, object],
    complaint: str,
) -> None:
    own_anvil.rpc("anvil_mine", "0x40")
    entry, view = await standing_told(own_chain, signers[3].account)
    head = await own_chain.head()
    told = Told(head.number, network(own_chain), (entry,), (view.model_copy(update=lie),), ())
    found = await complaints_about(own_chain, told)
    assert complaint in found
    assert bool(found) == bool(lie)


async def test_a_node_that_the_chain_does_not_know_is_named(
    own_chain: ChainClient, own_anvil: Anvil, query: QueryId, signers: list[Signer]
) -> None:
    own_anvil.rpc("anvil_mine", "0x40")
    entry, view = await standing_told(own_chain, signers[3].account)
    invented = Signer.new().account
    nodes = (entry, entry.model_copy(update={"account": invented}))
    views = (view, view.model_copy(update={"account": invented, "history": []}))
    told = Told((await own_chain.head()).number, network(own_chain), nodes, views, ())
    assert f"shows node {invented}, which is not active on chain" in await complaints_about(own_chain, told)


async def test_another_network_and_nodes_kept_back_are_named(
    own_chain: ChainClient, own_anvil: Anvil, query: QueryId
) -> None:
    own_anvil.rpc("anvil_mine", "0x40")
    ledger = own_chain.contracts.addresses["NodeRegistry"]
    others = {**own_chain.contracts.addresses, "QueryLedger": ledger}
    described = network(own_chain, chain_id=1, contracts=others)
    told = Told((await own_chain.head()).number, described, (), (), ())
    found = await complaints_about(own_chain, told)
    assert "works on chain 1" in found
    assert f"QueryLedger stands at {ledger}" in found
    report = (await run_audit(own_chain, Request(told=told))).report
    kept_back = [
        one for check in report.checks for one in check.contradictions if "does not show node" in one
    ]
    assert len(kept_back) == 5
