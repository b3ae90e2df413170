"""How a detector reaches nodes: the coordinator tells, the chain has the hashes of what is true of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import grpc.aio
import structlog
from pydantic import ValidationError

from soterone.chain.records import NodeRecord
from soterone.crypto.accounts import account, account_bytes
from soterone.crypto.certificates import CertificateError, key_hash_of_certificate
from soterone.domain.ids import Account, hash32
from soterone.domain.profiles import NodeProfile, commitment_of
from soterone.rpc.generated.coordinator_pb2 import DatasetCommitment, NodeCard, NodesReply, NodesRequest

if TYPE_CHECKING:
    from soterone.rpc.generated.coordinator_pb2_grpc import AgentsAsyncStub

log = structlog.get_logger()

_CALL_SECONDS = 10.0
_AT_ONCE = 64
_ACCOUNT_BYTES = 20


@dataclass(frozen=True, slots=True)
class Reach:
    """A node as the chain bears it out: its endpoint stands in the profile, the certificate has its key. What it
    published of its datasets has signatures of its own."""

    account: Account
    profile: NodeProfile
    certificate_pem: bytes
    datasets: tuple[DatasetCommitment, ...] = ()


class Registry(Protocol):
    """What the chain says of a node; `ChainClient`."""

    async def node_of(self, node: Account) -> NodeRecord:
        """Return the registry's record."""


async def reach_of(coordinator: "AgentsAsyncStub", chain: Registry, nodes: Iterable[Account]) -> list[Reach]:
    """Return how nodes are reached; those that the coordinator does not tell rightly are left out.

    May raise grpc.aio.AioRpcError and what a `ChainClient` raises.
    """
    wanted = sorted(nodes)
    found: list[Reach] = []
    for start in range(0, len(wanted), _AT_ONCE):
        asked = NodesRequest(accounts=map(account_bytes, wanted[start : start + _AT_ONCE]))
        reply: NodesReply = await coordinator.DescribeNodes(asked, timeout=_CALL_SECONDS)
        for card in reply.nodes:
            if len(card.account) != _ACCOUNT_BYTES:
                log.warning("the coordinator describes what is no account", bytes=len(card.account))
                continue
            one = account(card.account)
            reached = held_against(card, one, await chain.node_of(one)) if one in wanted else None
            if reached is None:
                log.warning("the coordinator describes a node otherwise than the chain", node=one)
                continue
            found.append(reached)
    return found


async def load_in_heartbeats(coordinator: "AgentsAsyncStub", node: Account) -> float | None:
    """Return the load that a node told the coordinator last, None when that tells nothing of it."""
    asked = NodesRequest(accounts=[account_bytes(node)])
    try:
        reply: NodesReply = await coordinator.DescribeNodes(asked, timeout=_CALL_SECONDS)
    except grpc.aio.AioRpcError:
        return None
    told = [one for one in reply.nodes if one.account == account_bytes(node) and one.HasField("snapshot")]
    return told[0].snapshot.load_1min if told else None


def held_against(card: NodeCard, node: Account, record: NodeRecord) -> Reach | None:
    """Return a card that the registry's commitment bears out, None for any other."""
    try:
        profile = NodeProfile.model_validate_json(card.profile.json)
        key_hash = key_hash_of_certificate(card.certificate_pem)
    except (ValidationError, CertificateError):
        return None
    if commitment_of(hash32(key_hash), profile.hash, card.profile_version) != record.commitment:
        return None
    return Reach(node, profile, card.certificate_pem, tuple(card.datasets))
