"""Reads the chain, composes the rows and writes them all in one transaction: a rebuild is whole or never was."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from coordinator.chain.handler import log_of
from coordinator.chain.sql_cursor import FOLLOWER
from coordinator.database import Database, exclusive
from coordinator.migrations import NotEmpty
from coordinator.models.chain import TrailBlock
from coordinator.models.nodes import NodeStatus
from coordinator.rebuilding.nodes import nodes_of
from coordinator.rebuilding.orders import UNKNOWN, SignedOrder, read_orders
from coordinator.rebuilding.queries import Restored, restore_query
from coordinator.rebuilding.reading import History, read_history
from soterone.chain.client import ChainClient
from soterone.chain.events import Event, QueryDispatched

_CHUNK_ROWS = 1_000

Tell = Callable[[str], None]
"""Takes what is being done now, in words."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was restored; `nodes` are those that must enrol again. `block` is where the follower goes on from."""

    block: int
    events: int
    nodes: int
    queries: int
    unfinished: int

    def as_dict(self) -> dict[str, int]:
        """Return the figures by name."""
        return asdict(self)


async def rebuild(database: Database, chain: ChainClient, confirmations: int, tell: Tell) -> Report:
    """Restore everything that the chain knows into an empty, migrated database.

    NotEmpty when any table has a row, ChainError when the chain cannot be read; nothing is written then.
    """
    await check_empty(database)
    tell("reading the chain")
    history = await read_history(chain, confirmations, lambda number: tell(f"reading block {number}"))
    dispatches = [one for one, _ in history.events if isinstance(one, QueryDispatched)]
    tell(f"reading {len(dispatches)} orders")
    orders = await read_orders(chain, [one.position.transaction_hash for one in dispatches])
    tell("composing rows")
    nodes = nodes_of(history.events)
    now = await database.now()
    signed: dict[str, SignedOrder] = {
        one.query_id: orders.get(one.position.transaction_hash, UNKNOWN) for one in dispatches
    }
    restored = [
        one
        for query_id, events in _by_query(history).items()
        if (one := restore_query(events, signed.get(query_id, UNKNOWN), nodes, now)) is not None
    ]
    await _write(database, history, [*nodes.values()], restored, tell)
    return Report(
        block=history.trail[0].number if history.trail else 0,
        events=len(history.events),
        nodes=sum(node.status != NodeStatus.GONE for node in nodes.values()),
        queries=len(restored),
        unfinished=sum(one.query.due_at is not None for one in restored),
    )


async def check_empty(database: Database) -> None:
    """NotEmpty when any table has a row."""
    async with database.reading() as session:
        await _check_empty(session)


async def _check_empty(session: AsyncSession) -> None:
    for table in SQLModel.metadata.sorted_tables:
        if await session.scalar(select(func.count()).select_from(table)):
            raise NotEmpty(
                f"the database is not empty (table {table.name} has rows), and a rebuild writes into an empty one; "
                "make a new database, run soter-coordinator migrate on it, then rebuild"
            )


def _by_query(history: History) -> dict[str, list[tuple[Event, int]]]:
    grouped: dict[str, list[tuple[Event, int]]] = defaultdict(list)
    for event, time in history.events:
        query_id = getattr(event, "query_id", None)
        if query_id is not None:
            grouped[query_id].append((event, time))
    return grouped


async def _write(
    database: Database, history: History, nodes: Sequence[SQLModel], restored: Sequence[Restored], tell: Tell
) -> None:
    trail = [TrailBlock(follower=FOLLOWER, number=one.number, hash=one.hash) for one in history.trail]
    logs = [log_of(event, time) for event, time in history.events]
    tables: list[Sequence[SQLModel]] = [
        nodes,
        [one.query for one in restored],
        [participant for one in restored for participant in one.participants],
        [event for one in restored for event in one.told],
        logs,
        trail,
    ]
    async with database.transaction() as session:
        await exclusive(session, f"follower {FOLLOWER}")
        await _check_empty(session)
        for rows in tables:
            await _insert(session, rows, tell)


async def _insert(session: AsyncSession, rows: Sequence[SQLModel], tell: Tell) -> None:
    if not rows:
        return
    kind = type(rows[0])
    connection = await session.connection()
    for written, chunk in _chunks(rows):
        tell(f"writing {written} of {len(rows)} {kind.__tablename__}")
        await connection.execute(insert(kind), chunk)


def _chunks(rows: Sequence[SQLModel]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    names = [column.key for column in SQLModel.metadata.tables[str(type(rows[0]).__tablename__)].columns]
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = rows[start : start + _CHUNK_ROWS]
        yield start, [{name: getattr(row, name) for name in names} for row in chunk]
