"""All SQL over reservations."""

from collections.abc import Collection

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import database_now
from coordinator.models.nodes import Node, NodeLiveness
from coordinator.models.resources import Reservation
from coordinator.resources import measurements
from coordinator.resources.demand import Demand, verified_capacity
from soterone.chain.claim_history import Measured
from soterone.domain.profiles import NodeProfile

_LIVE = or_(col(Reservation.expires_at).is_(None), col(Reservation.expires_at) > database_now())


async def lock_capacities(session: AsyncSession, nodes: Collection[str]) -> dict[str, Demand]:
    """Return the capacity of each node, never more than it declared, told or detectors measured; the rows stay locked.

    The lock orders concurrent reservations (SQLite: the transaction is the lock already).
    """
    rows = await session.execute(
        select(Node, NodeLiveness)
        .outerjoin(NodeLiveness, col(NodeLiveness.account) == col(Node.account))
        .where(col(Node.account).in_(nodes))
        .order_by(col(Node.account))
        .with_for_update(of=Node, key_share=True)
    )
    found, measured = list(rows), await measurements.standing(session, nodes)
    return {node.account: _capacity(node, liveness, measured.get(node.account)) for node, liveness in found}


def _capacity(node: Node, liveness: NodeLiveness | None, measured: Measured | None) -> Demand:
    profile = NodeProfile.model_validate_json(node.profile_json)
    verified = verified_capacity(profile, measured.measurement if measured else None)
    if liveness is None or liveness.memory_total_bytes == 0:
        return verified
    memory = min(verified.memory_bytes, liveness.memory_total_bytes)
    return Demand(verified.cpu_cores, memory, min(verified.disk_bytes, liveness.disk_free_bytes))


async def loads(session: AsyncSession, nodes: Collection[str]) -> dict[str, float]:
    """Return the load that each node told last, over the cores that it declared."""
    rows = await session.execute(
        select(Node, col(NodeLiveness.load_1min))
        .join(NodeLiveness, col(NodeLiveness.account) == col(Node.account))
        .where(col(Node.account).in_(nodes))
    )
    return {
        node.account: load / NodeProfile.model_validate_json(node.profile_json).cpu_cores
        for node, load in rows
    }


async def promised(session: AsyncSession, nodes: Collection[str]) -> dict[str, Demand]:
    """Return the sum of the live reservations of each node that has any."""
    rows = await session.execute(
        select(
            col(Reservation.node),
            func.sum(Reservation.cpu_cores),
            func.sum(Reservation.memory_bytes),
            func.sum(Reservation.disk_bytes),
        )
        .where(col(Reservation.node).in_(nodes), _LIVE)
        .group_by(col(Reservation.node))
    )
    return {node: Demand(int(cores), int(memory), int(disk)) for node, cores, memory, disk in rows}


async def add(
    session: AsyncSession, query_id: str, demands: dict[str, Demand], expires_in_seconds: float
) -> None:
    """Write one reservation a node, from now on by the database's clock."""
    now = float((await session.scalar(select(database_now()))) or 0.0)
    session.add_all(
        Reservation(
            query_id=query_id,
            node=node,
            cpu_cores=demand.cpu_cores,
            memory_bytes=demand.memory_bytes,
            disk_bytes=demand.disk_bytes,
            reserved_at=now,
            expires_at=now + expires_in_seconds,
        )
        for node, demand in demands.items()
    )
    await session.flush()


async def keep(session: AsyncSession, query_id: str) -> None:
    """Hold a query's reservations until they are released."""
    await session.execute(
        update(Reservation).where(col(Reservation.query_id) == query_id).values(expires_at=None)
    )


async def release(session: AsyncSession, query_id: str) -> None:
    """Delete a query's reservations; none is fine."""
    await session.execute(delete(Reservation).where(col(Reservation.query_id) == query_id))


async def release_node(session: AsyncSession, query_id: str, node: str) -> None:
    """Delete one node's reservation of a query; none is fine."""
    await session.execute(
        delete(Reservation).where(col(Reservation.query_id) == query_id, col(Reservation.node) == node)
    )


async def demand_of(session: AsyncSession, query_id: str, node: str) -> Demand:
    """Return what a node was reserved for; nothing when it has no reservation."""
    held = await session.get(Reservation, (query_id, node))
    return Demand(0, 0, 0) if held is None else Demand(held.cpu_cores, held.memory_bytes, held.disk_bytes)


async def take_over(session: AsyncSession, query_id: str, old: str, new: str) -> None:
    """Reserve for a node what another one holds of a query, and as firmly; nothing when that one holds nothing."""
    held = await session.get(Reservation, (query_id, old))
    if held is not None:
        session.add(
            Reservation(
                query_id=query_id,
                node=new,
                cpu_cores=held.cpu_cores,
                memory_bytes=held.memory_bytes,
                disk_bytes=held.disk_bytes,
                reserved_at=float((await session.scalar(select(database_now()))) or 0.0),
                expires_at=held.expires_at,
            )
        )
        await session.flush()


async def delete_expired(session: AsyncSession) -> int:
    """Delete the reservations that lapsed; returns how many."""
    result = await session.execute(
        delete(Reservation)
        .where(col(Reservation.expires_at) <= database_now())
        .returning(col(Reservation.node))
    )
    return len(result.all())


async def is_held(session: AsyncSession, query_id: str) -> bool:
    """Return whether any reservation of a query is left."""
    found = await session.scalar(
        select(func.count()).select_from(Reservation).where(col(Reservation.query_id) == query_id)
    )
    return bool(found)
