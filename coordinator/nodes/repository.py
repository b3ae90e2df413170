"""All SQL over nodes."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.liveness import is_online
from coordinator.models.nodes import Node, NodeLiveness, NodeStatus
from soterone.domain.ids import Account, Hash32
from soterone.domain.profiles import NodeProfile
from soterone.domain.roles import Role


@dataclass(frozen=True, slots=True)
class KnownNode:
    """What permissions depend on."""

    account: Account
    roles: int
    status: str


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node with whether it is online now."""

    node: Node
    online: bool

    @property
    def profile(self) -> NodeProfile:
        """What the node declared."""
        return NodeProfile.model_validate_json(self.node.profile_json)


async def get(session: AsyncSession, account: str, *, lock: bool = False) -> Node | None:
    """Return a node in any status, None when there is none; locked against other writers on request."""
    return await session.get(Node, account, with_for_update={"key_share": True} if lock else None)


async def by_key_hashes(session: AsyncSession, key_hashes: Collection[Hash32]) -> dict[Hash32, KnownNode]:
    """Return the nodes with these TLS keys, in any status; of several with one key an active one."""
    found = await session.execute(
        select(col(Node.tls_key_hash), col(Node.account), col(Node.roles), col(Node.status)).where(
            col(Node.tls_key_hash).in_(key_hashes)
        )
    )
    known: dict[Hash32, KnownNode] = {}
    for key_hash, account, roles, status in found:
        if key_hash not in known or status == NodeStatus.ACTIVE:
            known[Hash32(key_hash)] = KnownNode(Account(account), roles, status)
    return known


async def many(session: AsyncSession, accounts: Collection[str]) -> dict[str, Node]:
    """Return those of the accounts that are nodes, in any status."""
    nodes = await session.scalars(select(Node).where(col(Node.account).in_(accounts)))
    return {node.account: node for node in nodes}


async def heartbeats(session: AsyncSession, accounts: Collection[str]) -> dict[str, NodeLiveness]:
    """Return what is known of each node's heartbeats."""
    rows = await session.scalars(select(NodeLiveness).where(col(NodeLiveness.account).in_(accounts)))
    return {row.account: row for row in rows}


async def online(session: AsyncSession, role: Role, minimum_version: int = 0) -> list[Node]:
    """Return the active nodes with a role that are online now, by account."""
    statement = (
        select(Node)
        .join(NodeLiveness, col(NodeLiveness.account) == col(Node.account))
        .where(
            col(Node.status) == NodeStatus.ACTIVE,
            col(Node.roles).op("&")(int(role)) != 0,
            col(Node.version) >= minimum_version,
            is_online(),
        )
        .order_by(col(Node.account))
    )
    return list(await session.scalars(statement))


async def online_among(session: AsyncSession, accounts: Collection[str]) -> set[str]:
    """Return those of the accounts that are active nodes and online now."""
    statement = (
        select(col(Node.account))
        .join(NodeLiveness, col(NodeLiveness.account) == col(Node.account))
        .where(col(Node.status) == NodeStatus.ACTIVE, col(Node.account).in_(accounts), is_online())
    )
    return set(await session.scalars(statement))


async def page(
    session: AsyncSession, *, role: Role | None, online_only: bool, after: str, limit: int
) -> list[NodeView]:
    """Return up to `limit` active nodes after an account, by account."""
    statement = (
        select(Node, func.coalesce(is_online(), False))
        .outerjoin(NodeLiveness, col(NodeLiveness.account) == col(Node.account))
        .where(col(Node.status) == NodeStatus.ACTIVE, col(Node.account) > after)
    )
    if role is not None:
        statement = statement.where(col(Node.roles).op("&")(int(role)) != 0)
    if online_only:
        statement = statement.where(is_online())
    rows = await session.execute(statement.order_by(col(Node.account)).limit(limit))
    return [NodeView(node, bool(alive)) for node, alive in rows]


async def count_online(session: AsyncSession) -> int:
    """Return how many nodes are online."""
    return int(await session.scalar(select(func.count()).select_from(NodeLiveness).where(is_online())) or 0)


async def delete(session: AsyncSession, account: str) -> None:
    """Delete a node with its liveness and its datasets."""
    await session.execute(sqlalchemy.delete(Node).where(col(Node.account) == account))


async def gone(session: AsyncSession) -> list[Node]:
    """Return the nodes that left and are to be scrubbed."""
    return list(await session.scalars(select(Node).where(col(Node.status) == NodeStatus.GONE)))


async def add_liveness(session: AsyncSession, account: str) -> None:
    """Give a node its liveness row, offline until its first heartbeat; having one already is fine."""
    if await session.get(NodeLiveness, account) is None:
        session.add(NodeLiveness(account=account))
        await session.flush()


async def inactive_among(session: AsyncSession, accounts: Collection[str]) -> set[str]:
    """Return those of the accounts that are no active node (any more)."""
    statement = select(col(Node.account)).where(
        col(Node.account).in_(accounts), col(Node.status) == NodeStatus.ACTIVE
    )
    return set(accounts) - set(await session.scalars(statement))
