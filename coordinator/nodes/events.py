"""What the registry's events do to nodes. Called by the follower, inside the transaction that moves its cursor.

Nodes that never enrolled here have no row, and none is made for them: there is no profile behind their hash.
"""

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator import liveness
from coordinator.models.nodes import NodeStatus
from coordinator.nodes import repository
from soterone.chain.events import NodeRegistered, NodeSuspended, NodeUnregistered, NodeUpdated


async def registered(session: AsyncSession, event: NodeRegistered) -> None:
    """A pending node whose registration this is becomes active."""
    node = await repository.get(session, event.node, lock=True)
    if node is None or node.status != NodeStatus.PENDING or node.incarnation != event.incarnation:
        return
    if (node.tls_key_hash, node.profile_hash) == (event.tls_key_hash, event.profile_hash):
        node.status = NodeStatus.ACTIVE
        await session.flush()


async def registration_undone(session: AsyncSession, event: NodeRegistered) -> None:
    """A reorganisation removed a registration: the node waits again, as the sender sends it again."""
    node = await repository.get(session, event.node, lock=True)
    if node is not None and node.status == NodeStatus.ACTIVE and node.incarnation == event.incarnation:
        node.status = NodeStatus.PENDING
        await session.flush()


async def updated(session: AsyncSession, event: NodeUpdated) -> None:
    """Roles and version change at once; with another key or profile the node must enrol again to be chosen."""
    node = await repository.get(session, event.node, lock=True)
    if node is None:
        return
    node.roles, node.version, node.profile_version = event.roles, event.version, event.profile_version
    if (node.tls_key_hash, node.profile_hash) != (event.tls_key_hash, event.profile_hash):
        node.certificate_pem = ""
        if node.status == NodeStatus.ACTIVE:
            node.status = NodeStatus.PENDING
    await session.flush()


async def unregistered(session: AsyncSession, event: NodeUnregistered) -> None:
    """The node is out of everything; the housekeeper scrubs it next."""
    node = await repository.get(session, event.node, lock=True)
    if node is not None and node.incarnation == event.incarnation:
        node.status = NodeStatus.GONE
        await session.flush()
        await liveness.forget(session, event.node)


async def suspended(session: AsyncSession, event: NodeSuspended) -> None:
    """A suspended node keeps its row and is chosen for nothing until it is reinstated."""
    node = await repository.get(session, event.node, lock=True)
    if node is not None and node.status in (NodeStatus.ACTIVE, NodeStatus.SUSPENDED):
        node.status = NodeStatus.SUSPENDED if event.suspended else NodeStatus.ACTIVE
        await session.flush()
