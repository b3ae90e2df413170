"""Nodes as the registry's events tell of them: who is registered, by which hashes. Pure."""

from collections.abc import Iterable

from coordinator.models.nodes import Node, NodeStatus
from soterone.chain.events import Event, NodeRegistered, NodeSuspended, NodeUnregistered, NodeUpdated

UNKNOWN_PROFILE = "{}"


def nodes_of(events: Iterable[tuple[Event, int]]) -> dict[str, Node]:
    """Return the node of each account that ever registered.

    Those that stand on chain wait, PENDING, until they enrol again, as nobody but they know their profile; those that
    left are GONE, suspended or not, so that the housekeeper takes their traces away.
    """
    nodes: dict[str, Node] = {}
    for event, time in events:
        match event:
            case NodeRegistered():
                nodes[event.node] = _registered(event, time)
            case NodeUpdated():
                node = nodes[event.node]
                node.roles, node.version, node.profile_version = (
                    event.roles,
                    event.version,
                    event.profile_version,
                )
                node.tls_key_hash, node.profile_hash = event.tls_key_hash, event.profile_hash
            case NodeUnregistered():
                nodes[event.node].status = NodeStatus.GONE
            case NodeSuspended() if nodes[event.node].status != NodeStatus.GONE:
                nodes[event.node].status = NodeStatus.SUSPENDED if event.suspended else NodeStatus.PENDING
    return nodes


def _registered(event: NodeRegistered, time: int) -> Node:
    return Node(
        account=event.node,
        operator=event.operator,
        roles=event.roles,
        version=event.version,
        incarnation=event.incarnation,
        status=NodeStatus.PENDING,
        tls_key_hash=event.tls_key_hash,
        profile_hash=event.profile_hash,
        profile_version=1,
        profile_json=UNKNOWN_PROFILE,
        registered_at=float(time),
    )
