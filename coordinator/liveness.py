"""Who is online. Silence counts only while somebody listened.

A node is online while `online_until` lies after the last moment when any rpc service listened: when nobody
listens, that moment stands still, and whoever listens again first gives everybody a fresh window.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Float, bindparam, delete, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import database_now
from coordinator.models.nodes import ListeningLease, NodeLiveness

LEASE_RENEWAL_SECONDS = 0.25
"""How often a listening service says so."""

GAP_SECONDS = 1.0
"""Nobody renewed for so long: nobody listened."""

_FORGOTTEN_LEASE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Beat:
    """The latest heartbeat of a node, with what its machine has left."""

    account: str
    cpu_fraction: float = 0.0
    memory_used_bytes: int = 0
    memory_total_bytes: int = 0
    disk_free_bytes: int = 0
    load_1min: float = 0.0


_WRITE_BEATS = (
    update(NodeLiveness)
    .where(col(NodeLiveness.account) == bindparam("of_account"))
    .values(
        online_until=database_now() + bindparam("patience", type_=Float()),
        heartbeat_at=database_now(),
        cpu_fraction=bindparam("cpu"),
        memory_used_bytes=bindparam("used"),
        memory_total_bytes=bindparam("total"),
        disk_free_bytes=bindparam("disk"),
        load_1min=bindparam("load"),
    )
    .execution_options(synchronize_session=False)
)


def is_online() -> ColumnElement[bool]:
    """Return the condition on `NodeLiveness` that a node counts as online now."""
    return col(NodeLiveness.online_until) > _listened_until()


async def write_beats(session: AsyncSession, beats: Sequence[Beat], patience_seconds: float) -> None:
    """Keep nodes online for `patience_seconds` from now. Nodes that are gone stay gone."""
    if not beats:
        return
    rows = [
        {
            "of_account": beat.account,
            "patience": patience_seconds,
            "cpu": beat.cpu_fraction,
            "used": beat.memory_used_bytes,
            "total": beat.memory_total_bytes,
            "disk": beat.disk_free_bytes,
            "load": beat.load_1min,
        }
        for beat in beats
    ]
    await (await session.connection()).execute(_WRITE_BEATS, rows)


async def listen(session: AsyncSession, service: str, patience_seconds: float) -> bool:
    """Renew a service's listening lease; True when this ended a gap, and everybody got a fresh window."""
    listened = await session.scalar(select(func.max(ListeningLease.heard_at)))
    now = float(await session.scalar(select(database_now())) or 0.0)
    gap = listened is None or now - listened > GAP_SECONDS
    if gap:
        fresh = update(NodeLiveness).where(col(NodeLiveness.online_until) > (listened or 0.0))
        await session.execute(fresh.values(online_until=now + patience_seconds))
    await session.execute(
        delete(ListeningLease).where(col(ListeningLease.heard_at) < now - _FORGOTTEN_LEASE_SECONDS)
    )
    await session.merge(ListeningLease(service=service, heard_at=now))
    return gap


async def forget(session: AsyncSession, account: str) -> None:
    """Count a node as offline from now on."""
    await session.execute(
        update(NodeLiveness).where(col(NodeLiveness.account) == account).values(online_until=0.0)
    )


def _listened_until() -> ColumnElement[float]:
    latest = select(func.max(ListeningLease.heard_at)).scalar_subquery()
    return func.coalesce(latest, literal(0.0))
