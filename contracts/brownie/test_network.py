"""A query's life on Brownie's anvil: registration, order, result, scores, and who may not do what."""

import pytest
from brownie import accounts
from brownie.exceptions import VirtualMachineError
from conftest import OWNER, Network

PRIOR = 300_000_000
COMPLETED, CLEANED = 2, 4


def test_a_node_registers_and_is_an_agent(network: Network) -> None:
    node = accounts[9]
    registered = network.register(node, OWNER)
    assert registered.events["NodeRegistered"]["node"] == node
    assert network.registry.operatorOf(node) == node
    assert network.identity.ownerOf(int(node.address, 16)) == node


def test_a_second_registration_is_refused(network: Network, owners: list[str]) -> None:
    with pytest.raises(VirtualMachineError, match="NodeRegistryAlreadyRegistered"):
        network.register(accounts.at(owners[0]), OWNER)


def test_a_query_is_completed_cleaned_and_settled(
    network: Network, owners: list[str], mpcs: list[str]
) -> None:
    query_id, opening = network.dispatch(accounts[1], owners, mpcs)
    opening = network.complete(query_id, opening)
    assert network.status(query_id) == COMPLETED
    network.queries.cleanup(query_id, {"from": network.admin})
    assert network.status(query_id) == CLEANED
    settled = network.reputation.settle(query_id, opening, [100, 100, 100, 100, 0], {"from": network.admin})
    observations = settled.events["QuerySettled"]["observations"]
    assert [int(one) for one in observations] == [100, 100, 100, 100, 0]
    assert network.score(mpcs[2]) < PRIOR <= network.score(mpcs[0])


def test_only_the_coordinator_settles(network: Network, owners: list[str], mpcs: list[str]) -> None:
    query_id, opening = network.dispatch(accounts[1], owners, mpcs)
    opening = network.complete(query_id, opening)
    with pytest.raises(VirtualMachineError, match="AccessControlUnauthorizedAccount"):
        network.reputation.settle(query_id, opening, [100] * 5, {"from": accounts[8]})


def test_a_penalty_shows_in_the_score_that_tools_read(network: Network, mpcs: list[str]) -> None:
    agent = int(mpcs[0], 16)
    assert network.scores.getClients(agent) == ()
    network.reputation.penalise(mpcs[0], 2, {"from": network.admin})
    score = network.score(mpcs[0])
    assert score < PRIOR
    (ledger,) = network.scores.getClients(agent)
    summary = network.scores.getSummary(agent, [ledger], "starred", "")
    assert [int(value) for value in summary] == [1, score, 7]
