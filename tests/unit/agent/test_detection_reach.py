"""How nodes are reached is believed only as far as the chain bears it out."""

from typing import Any, cast

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from fixtures.participants import new_node

from node_agent.detection.reach import Reach, held_against, reach_of
from node_agent.resources import usable_cores
from soterone.chain.records import NodeRecord, NodeStatus
from soterone.crypto.accounts import account_bytes
from soterone.crypto.certificates import CertificateAuthority, key_hash_of_key
from soterone.domain.ids import Account, hash32, hash_bytes
from soterone.domain.profiles import NodeProfile
from soterone.domain.roles import Role
from soterone.rpc.generated.coordinator_pb2 import NodeCard, NodesReply, NodesRequest
from soterone.rpc.generated.coordinator_pb2 import NodeProfile as ProfileMessage

AUTHORITY = CertificateAuthority.create()
NODE = new_node(AUTHORITY, Role.MPC_NODE)
PROFILE = NodeProfile(name="n", endpoint="10.0.0.1:1", cpu_cores=2, memory_bytes=2**30, disk_bytes=0)
COMMITMENT = keccak(
    encode(
        ["bytes32", "bytes32", "uint32"],
        [key_hash_of_key(NODE.tls.key_pem), hash_bytes(PROFILE.hash), 3],
    )
)
RECORD = NodeRecord(NODE.account, Role.MPC_NODE, 256, NodeStatus.ACTIVE, 1, hash32(COMMITMENT))


def card(
    profile: NodeProfile = PROFILE, certificate: bytes = NODE.tls.certificate_pem, version: int = 3
) -> NodeCard:
    return NodeCard(
        account=account_bytes(NODE.account),
        profile=ProfileMessage(json=profile.canonical().decode()),
        profile_version=version,
        certificate_pem=certificate,
    )


def test_what_the_chain_has_the_hashes_of_is_believed() -> None:
    found = held_against(card(), NODE.account, RECORD)
    assert found == Reach(NODE.account, PROFILE, NODE.tls.certificate_pem)


@pytest.mark.parametrize(
    "told",
    [
        card(PROFILE.model_copy(update={"endpoint": "10.6.6.6:1"})),
        card(PROFILE.model_copy(update={"cpu_cores": 64})),
        card(certificate=new_node(AUTHORITY, Role.MPC_NODE).tls.certificate_pem),
        card(certificate=b"none"),
        card(version=2),
        NodeCard(profile=ProfileMessage(json="{}")),
    ],
)
def test_anything_else_is_not(told: NodeCard) -> None:
    assert held_against(told, NODE.account, RECORD) is None


class Telling:
    """A coordinator that tells these cards, whatever it is asked."""

    def __init__(self, *cards: NodeCard) -> None:
        self.cards = cards

    async def DescribeNodes(self, asked: NodesRequest, timeout: float) -> NodesReply:  # noqa: N802, ASYNC109
        return NodesReply(nodes=self.cards)


class Chain:
    """A registry that has one node."""

    async def node_of(self, node: Account) -> NodeRecord:
        return RECORD


@pytest.mark.parametrize("odd", [b"", b"\1" * 19, b"\1" * 21])
async def test_an_account_of_another_length_is_passed_over(odd: bytes) -> None:
    cards = NodeCard(account=odd), card()
    found = await reach_of(cast(Any, Telling(*cards)), Chain(), [NODE.account])
    assert [one.account for one in found] == [NODE.account]


def test_this_machine_has_a_core() -> None:
    assert usable_cores() >= 1
