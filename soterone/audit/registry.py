"""The node registry as its events tell it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from soterone.chain.events import Event, NodeRegistered, NodeSuspended, NodeUnregistered, NodeUpdated
from soterone.chain.records import NodeRecord, NodeStatus
from soterone.domain.ids import Account, Hash32, hash32, hash_bytes
from soterone.domain.roles import Role

_GONE = hash32(bytes(32))


@dataclass(slots=True)
class RegistryReplay:
    """Nodes by account, and what no honest registry would have emitted."""

    nodes: dict[Account, NodeRecord] = field(default_factory=dict)
    suspended: set[Account] = field(default_factory=set)
    contradictions: list[str] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        """Take in the next event; others than the registry's are passed over."""
        match event:
            case NodeRegistered():
                self._register(event)
            case NodeUpdated():
                commitment = commit(event.tls_key_hash, event.profile_hash, event.profile_version)
                self._change(
                    event.node, roles=Role(event.roles), version=event.version, commitment=commitment
                )
            case NodeUnregistered():
                self._change(event.node, roles=Role(0), version=0, status=NodeStatus.GONE, commitment=_GONE)
            case NodeSuspended():
                self._suspend(event)

    def _register(self, event: NodeRegistered) -> None:
        before = self.nodes.get(event.node)
        expected = before.incarnation + 1 if before else 1
        if event.incarnation != expected or (before and before.status is not NodeStatus.GONE):
            self.contradictions.append(
                f"{event.node} registered out of turn as incarnation {event.incarnation}"
            )
        commitment = commit(event.tls_key_hash, event.profile_hash, 1)
        self.nodes[event.node] = NodeRecord(
            event.operator,
            Role(event.roles),
            event.version,
            self._status(event.node),
            event.incarnation,
            commitment,
        )

    def _suspend(self, event: NodeSuspended) -> None:
        """A suspension outlives the node's leaving and counts for its next incarnation too."""
        before = self.nodes.get(event.node)
        if before is None or (event.node in self.suspended) == event.suspended:
            self.contradictions.append(f"{event.node} was suspended or readmitted out of turn")
            return
        self.suspended ^= {event.node}
        if before.status is not NodeStatus.GONE:
            self.nodes[event.node] = replace(before, status=self._status(event.node))

    def _status(self, node: Account) -> NodeStatus:
        return NodeStatus.SUSPENDED if node in self.suspended else NodeStatus.ACTIVE

    def _change(self, node: Account, **changes: object) -> None:
        before = self.nodes.get(node)
        if before is None or before.status is NodeStatus.GONE:
            self.contradictions.append(f"{node} changed without being registered")
            return
        self.nodes[node] = replace(before, **changes)  # type: ignore[arg-type]


def commit(tls_key_hash: Hash32, profile_hash: Hash32, profile_version: int) -> Hash32:
    """Return keccak256(abi.encode(tlsKeyHash, profileHash, profileVersion))."""
    values = [hash_bytes(tls_key_hash), hash_bytes(profile_hash), profile_version]
    return hash32(keccak(encode(["bytes32", "bytes32", "uint32"], values)))


def replay_registry(events: Iterable[Event]) -> RegistryReplay:
    """Replay a chain's events."""
    replay = RegistryReplay()
    for event in events:
        replay.apply(event)
    return replay
