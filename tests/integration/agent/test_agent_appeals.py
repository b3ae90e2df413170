"""`soter-node claims` and `soter-node appeal`: real commands, coordinator and chain."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.agents import AgentFolder
from fixtures.chain import Anvil
from fixtures.coordinator import CoordinatorProcess
from fixtures.court import GOVERNOR, Court

from node_agent.detection.openings import answer_file
from soterone.chain.client import ChainClient
from soterone.chain.deployment import DEVNET, Deployment
from soterone.chain.records import Contracts
from soterone.crypto.accounts import account
from soterone.domain.detection import ClaimStatus, CounterEvidence

TERMS = replace(DEVNET, governor=GOVERNOR.account, detector_epoch_seconds=3600)
QUERY = f"0x{'5' * 64}"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    anvil = Anvil(tmp_path)
    anvil.start()
    coordinator = CoordinatorProcess(tmp_path, anvil)
    try:
        coordinator.set_up(TERMS)
        coordinator.start()
        yield coordinator
    finally:
        coordinator.stop()
        anvil.stop()


async def test_a_node_without_coins_appeals_once(
    network: CoordinatorProcess, agent_folder: AgentFolder
) -> None:
    arguments = agent_folder.init_arguments(*network.init_arguments, name="cleo", role="mpc")
    made = await asyncio.to_thread(agent_folder.invoke, *arguments)
    joined = await asyncio.to_thread(agent_folder.invoke, "register", "--json")
    assert (made.status, joined.status) == (0, 0), (made, joined)
    contracts = Contracts.of(Deployment.load(network.deployment_file))
    async with await ChainClient.connect(network.anvil.url, contracts) as chain:
        court = Court(network.anvil, chain)
        await court.seat(8)
        await court.next_epoch()
        node = account(joined.document["account"])
        claim = await court.upheld(await court.accusation(node))

        listed = await asyncio.to_thread(agent_folder.invoke, "claims", "--json")
        (told,) = listed.document["claims"]
        assert (told["claim_id"], told["about"], told["status"]) == (claim.claim_id, "profile", "upheld")

        for wrong, status in (("0x12", 2), (f"0x{'0' * 64}", 1)):
            refused = await asyncio.to_thread(agent_folder.invoke, "appeal", wrong, "--json")
            assert refused.status == status, refused

        said = ("--query", QUERY, "--statement", "Measured beside a backup.")
        done = await asyncio.to_thread(agent_folder.invoke, "appeal", claim.claim_id, *said, "--json")
        assert done.status == 0, done
        state = await court.quorum.claim_of(claim.claim_id)
        assert (state.status, state.epoch) == (ClaimStatus.APPEALED, done.document["epoch"])
        assert state.epoch == await court.quorum.present_epoch() + 1
        (appeal,) = await court.quorum.appeals(1000)
        kept = answer_file(agent_folder.path / "appeals", appeal.counter_evidence_hash).read_text()
        answer = CounterEvidence.model_validate_json(kept)
        assert answer.hash == appeal.counter_evidence_hash
        assert (answer.claim_id, answer.node, answer.queries) == (claim.claim_id, node, (QUERY,))

        again = await asyncio.to_thread(agent_folder.invoke, "appeal", claim.claim_id, "--json")
        assert again.status == 1, again
