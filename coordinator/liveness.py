"""Who is online. Silence counts only while somebody listened.

A node is online while `online_until` lies after the last moment when any rpc service listened: when nobody
listens, that moment stands still. Whoever notices that a service has been deaf, itself or another one, gives everybody
who was online more time. Only the database's clock counts; where it was set anew, a fresh window begins.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    ColumnElement,
    Float,
    String,
    any_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import database_now
from coordinator.models.nodes import ListeningLease, NodeLiveness

LEASE_RENEWAL_SECONDS = 0.25
"""How often a listening service says so."""

GAP_SECONDS = 1.0
"""A service that did not renew for so long was deaf."""


RETURN_PATIENCES = 3
"""How many patiences everybody gets after a deafness: thousands come back at once, and some to a process that is
stopped. A heartbeat ends it."""

CUT_OFF_NODES = 3
"""So many nodes do not die in the same moment: when all that a service heard fall silent, it is the one cut off."""

CUT_OFF_INTERVALS = 1.5

_LEASES = select(col(ListeningLease.service), col(ListeningLease.heard_at))


class Beat(NamedTuple):
    """The latest heartbeat of a node, with what its machine has left. Thousands a second: hence no dataclass."""

    account: str
    cpu_fraction: float = 0.0
    memory_used_bytes: int = 0
    memory_total_bytes: int = 0
    disk_free_bytes: int = 0
    load_1min: float = 0.0


def _figure(index: int) -> ColumnElement[str]:
    return _beats.c.value.op("->>")(literal(index, literal_execute=True))


_beats = func.json_each(bindparam("beats", type_=JSON)).table_valued("key", "value", name="beats")

_WRITE_BEATS = (
    update(NodeLiveness)
    .where(col(NodeLiveness.account) == _beats.c.key)
    .values(
        online_until=database_now() + bindparam("patience", type_=Float()),
        heartbeat_at=database_now(),
        cpu_fraction=cast(_figure(0), Float),
        memory_used_bytes=cast(_figure(1), BigInteger),
        memory_total_bytes=cast(_figure(2), BigInteger),
        disk_free_bytes=cast(_figure(3), BigInteger),
        load_1min=cast(_figure(4), Float),
    )
    .execution_options(synchronize_session=False)
)
"""One statement a batch: `json_each` of an object is the same in SQLite and PostgreSQL."""


def is_online() -> ColumnElement[bool]:
    """Return the condition on `NodeLiveness` that a node counts as online now."""
    return col(NodeLiveness.online_until) > _listened_until()


async def write_beats(session: AsyncSession, beats: Iterable[Beat], patience_seconds: float) -> None:
    """Keep nodes online for `patience_seconds` from now. Nodes that are gone stay gone; a node's last beat counts."""
    figures = {account: snapshot for account, *snapshot in beats}
    if figures:
        await _lock(session, col(NodeLiveness.account) == any_(literal([*figures], ARRAY(String))))
        connection = await session.connection()
        await connection.execute(_WRITE_BEATS, {"beats": figures, "patience": patience_seconds})


async def listen(session: AsyncSession, service: str, patience_seconds: float) -> bool:
    """Renew a service's listening lease; True when one had been deaf, so that everybody online got more time.

    A short deafness of its own only stops the clock: the connections have outlived it. After a longer one, and when
    another service is deaf or gone, agents have to come back first.
    """
    leases: dict[str, float] = dict((await session.execute(_LEASES)).all())
    now = float(await session.scalar(select(database_now())) or 0.0)
    listened, own_gap_seconds = max(leases.values(), default=0.0), now - leases.get(service, now)
    deaf = [name for name, heard_at in leases.items() if abs(now - heard_at) > GAP_SECONDS]
    if deaf == [service] and 0 < own_gap_seconds < patience_seconds / 2:
        await _refresh(session, listened, col(NodeLiveness.online_until) + own_gap_seconds)
    elif deaf or not leases:
        await session.execute(delete(ListeningLease).where(col(ListeningLease.service).in_(deaf)))
        await _refresh(session, listened, literal(now + RETURN_PATIENCES * patience_seconds))
    await session.merge(ListeningLease(service=service, heard_at=now))
    return bool(deaf or not leases)


def is_cut_off(
    heard_at: Collection[float], now: float, interval_seconds: float, patience_seconds: float
) -> bool:
    """Say whether everybody whom a service heard until lately fell silent together, by one monotonic clock."""
    latest = max(heard_at, default=now)
    lately = sum(latest - heard < patience_seconds for heard in heard_at)
    return lately >= CUT_OFF_NODES and now - latest > CUT_OFF_INTERVALS * interval_seconds


async def forget(session: AsyncSession, account: str) -> None:
    """Count a node as offline from now on."""
    await session.execute(
        update(NodeLiveness).where(col(NodeLiveness.account) == account).values(online_until=0.0)
    )


async def _refresh(session: AsyncSession, listened: float, until: ColumnElement[float]) -> None:
    """Keep online until then whoever was online at the last moment when somebody listened, and nobody else."""
    await _lock(session, true())
    was_online = col(NodeLiveness.online_until) > listened
    statement = update(NodeLiveness).where(col(NodeLiveness.online_until) > 0)
    values = statement.values(online_until=case((was_online, until), else_=0.0))
    await session.execute(values.execution_options(synchronize_session=False))


async def _lock(session: AsyncSession, which: ColumnElement[bool]) -> None:
    """Lock rows by account before they are written, or two services wait for each other (SQLite: one writer anyway).

    An update alone locks in the order of its plan.
    """
    if session.get_bind().dialect.name == "postgresql":
        account = col(NodeLiveness.account)
        rows = select(account).where(which).order_by(account).with_for_update(key_share=True).subquery()
        await session.execute(select(func.count()).select_from(rows))


def _listened_until() -> ColumnElement[float]:
    latest = select(func.max(ListeningLease.heard_at)).scalar_subquery()
    return func.coalesce(latest, literal(0.0))
