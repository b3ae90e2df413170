"""What a coordinator might tell of queries and of itself, beside the chain: every falsehood has a name."""

import pytest
import pytest_asyncio
from audits import SHARES, small_history

from soterone.audit.auditor import Request, run_audit
from soterone.audit.comparison import Told
from soterone.chain.client import ChainClient
from soterone.chain.openings import result_hash
from soterone.crypto.accounts import Signer
from soterone.domain.ids import QueryId
from soterone.rest.network import NetworkDescription
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


def network(chain: ChainClient, **changes: object) -> NetworkDescription:
    contracts = chain.contracts
    described = NetworkDescription(
        version="0.1.0",
        chain_id=contracts.chain_id,
        start_block=contracts.start_block,
        contracts=dict(contracts.addresses),
        enrolment_address="",
        agents_address="",
        ca_pem="",
        heartbeat_interval_seconds=2,
        heartbeat_patience=3,
    )
    return described.model_copy(update=changes)


async def complaints_about(chain: ChainClient, told: Told) -> str:
    report = (await run_audit(chain, Request(told=told))).report
    (check,) = [one for one in report.checks if "coordinator" in one.name]
    return "\n".join(one for one in check.contradictions if "does not show node" not in one)


async def test_truth_agrees(own_chain: ChainClient, query: QueryId, signers: list[Signer]) -> None:
    told = Told(network(own_chain), (), (), (honest(own_chain, query, signers),))
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
    assert complaint in await complaints_about(own_chain, Told(network(own_chain), (), (), (view,)))


async def test_another_network_and_nodes_kept_back_are_named(own_chain: ChainClient, query: QueryId) -> None:
    ledger = own_chain.contracts.addresses["NodeRegistry"]
    others = {**own_chain.contracts.addresses, "QueryLedger": ledger}
    told = Told(network(own_chain, chain_id=1, contracts=others), (), (), ())
    found = await complaints_about(own_chain, told)
    assert "works on chain 1" in found
    assert f"QueryLedger stands at {ledger}" in found
    report = (await run_audit(own_chain, Request(told=told))).report
    kept_back = [
        one for check in report.checks for one in check.contradictions if "does not show node" in one
    ]
    assert len(kept_back) == 5
