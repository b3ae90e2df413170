"""The contracts on Brownie's anvil: two owners and three MPC nodes, each run by itself, and a customer."""

from dataclasses import dataclass
from typing import Any

import pytest
from brownie import accounts, chain, project
from brownie.network.account import Account
from eth_abi import encode
from eth_utils import keccak

DAY_SECONDS = 86_400
OWNER, MPC = 1, 2


@dataclass(frozen=True)
class Network:
    """What was deployed by `admin`, who is the coordinator and may penalise."""

    admin: Account
    registry: Any
    queries: Any
    reputation: Any
    identity: Any
    scores: Any

    def register(self, node: Account, role: int) -> Any:
        """A node registers itself: no signature is needed of who sends."""
        deadline = chain.time() + DAY_SECONDS
        registration = (node, node, role, 256, b"\x01" * 32, b"\x02" * 32, 1, deadline)
        return self.registry.register(registration, b"", b"", {"from": node})

    def score(self, node: str) -> int:
        """As of now, 1e9 fixed point; Brownie's own integers cannot be compared with others."""
        return int(self.reputation.scoreOf(node))

    def status(self, query_id: bytes) -> int:
        """As QueryLedger numbers them."""
        return int(self.queries.statusOf(query_id)[0])

    def dispatch(self, customer: Account, owners: list[str], mpcs: list[str]) -> tuple[bytes, list[Any]]:
        """A customer's own order; its id, and the opening that the ledgers ask for."""
        salt, spec_hash, key_hash = b"\x03" * 32, b"\x04" * 32, b"\x05" * 32
        deadline = chain.time() + DAY_SECONDS
        order = (customer, salt, spec_hash, owners, mpcs, key_hash, 3600, 600, 600, 2, deadline)
        self.queries.dispatch(order, b"", {"from": customer})
        kinds = ["bytes32", "bytes32", "uint32", "uint32", "uint32"]
        terms_hash = keccak(encode(kinds, [spec_hash, key_hash, 3600, 600, 600]))
        query_id = bytes(self.queries.queryIdOf(customer, salt))
        return query_id, [customer, len(owners), 2, owners + mpcs, terms_hash, b"\x00" * 32]

    def complete(self, query_id: bytes, opening: list[Any]) -> list[Any]:
        """The coordinator announces a result of two shares; the opening with it."""
        shares = [b"\x06" * 32, b"\x07" * 32, b"\x00" * 32]
        commitment = self.queries.stateOf(query_id)[0]
        self.queries.complete(query_id, commitment, shares, {"from": self.admin})
        return [*opening[:5], keccak(b"".join(shares))]


@pytest.fixture(scope="module")
def network() -> Network:
    """The contracts, freshly deployed."""
    (contracts,) = project.get_loaded_projects()
    admin = accounts[0]
    registry = admin.deploy(contracts.NodeRegistry, 0, admin)
    queries = admin.deploy(contracts.QueryLedger, registry, 0, admin)
    periods = (DAY_SECONDS, 14 * DAY_SECONDS, DAY_SECONDS, 7 * DAY_SECONDS)
    reputation = admin.deploy(contracts.ReputationLedger, registry, queries, periods, 0, admin)
    queries.grantRole(queries.COORDINATOR_ROLE(), admin, {"from": admin})
    reputation.grantRole(reputation.COORDINATOR_ROLE(), admin, {"from": admin})
    reputation.grantRole(reputation.PENALTY_ROLE(), admin, {"from": admin})
    identity = admin.deploy(contracts.Erc8004Identity, registry)
    scores = admin.deploy(contracts.Erc8004Reputation, identity, reputation)
    return Network(admin, registry, queries, reputation, identity, scores)


@pytest.fixture(scope="module")
def owners(network: Network) -> list[str]:
    """Two registered data owners, ascending."""
    return _registered(network, accounts[2:4], OWNER)


@pytest.fixture(scope="module")
def mpcs(network: Network) -> list[str]:
    """Three registered MPC nodes, ascending."""
    return _registered(network, accounts[4:7], MPC)


@pytest.fixture(autouse=True)
def isolated(fn_isolation: None) -> None:
    """Every test starts from what the module's fixtures made."""


def _registered(network: Network, nodes: list[Account], role: int) -> list[str]:
    for node in nodes:
        network.register(node, role)
    return sorted((node.address for node in nodes), key=str.lower)
