"""What the registry's events do to nodes. Called by the follower, inside the transaction that moves its cursor.

Nodes that never enrolled here have no row, and none is made for them: there is no profile behind their hash.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator import liveness
from coordinator.models.nodes import NodeStatus
from coordinator.nodes import repository
from soterone.chain.events import Event, NodeRegistered, NodeSuspended, NodeUnregistered, NodeUpdated
from soterone.domain.ids import Account


async def registered(session: AsyncSession, event: NodeRegistered) -> None:
    """A pending node whose registration this is becomes active."""
    node = await repository.get(session, event.node, lock=True)
    if node is None or node.status != NodeStatus.PENDING or node.incarnation != event.incarnation:
        return
    if (node.tls_key_hash, node.profile_hash) == (event.tls_key_hash, event.profile_hash):
        node.operator, node.status = event.operator, NodeStatus.ACTIVE
        await session.flush()


async def rewound(session: AsyncSession, account: Account, standing: Sequence[Event]) -> None:
    """A reorganisation took events of a node away: bring its row in line with those that still stand, in order.

    A registration that is gone makes the node wait, as the sender sends it again; so does an unregistration.
    """
    node = await repository.get(session, account, lock=True)
    if node is None:
        return
    if node.status != NodeStatus.LEAVING:
        node.status = NodeStatus.PENDING
    await session.flush()
    joined = [place for place, event in enumerate(standing) if isinstance(event, NodeRegistered)]
    since = standing[joined[-1] :] if joined else ()
    if since and isinstance(since[0], NodeRegistered) and since[0].incarnation == node.incarnation:
        node.operator, node.profile_version = since[0].operator, 1
        node.roles, node.version = since[0].roles, since[0].version
        for event in since:
            await apply(session, event)


async def apply(session: AsyncSession, event: Event) -> None:
    """Do what an event of the registry does; others do nothing."""
    match event:
        case NodeRegistered():
            await registered(session, event)
        case NodeUpdated():
            await updated(session, event)
        case NodeUnregistered():
            await unregistered(session, event)
        case NodeSuspended():
            await suspended(session, event)


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
