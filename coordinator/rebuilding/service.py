"""Reads the chain, composes the rows and writes them all in one transaction: a rebuild is whole or never was."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from coordinator.chain.log_rows import log_values
from coordinator.chain.sql_cursor import FOLLOWER
from coordinator.database import Database, exclusive, take_time
from coordinator.migrations import NotEmpty
from coordinator.models.chain import ChainLog, TrailBlock
from coordinator.models.nodes import Node, NodeStatus
from coordinator.models.queries import Participant, Query, QueryEventRow
from coordinator.rebuilding.nodes import nodes_of
from coordinator.rebuilding.orders import UNKNOWN, SignedOrder, read_orders
from coordinator.rebuilding.queries import Restored, Row, restore_query
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
    operators = {account: node.operator for account, node in nodes.items()}
    now = await database.now()
    signed: dict[str, SignedOrder] = {
        one.query_id: orders.get(one.position.transaction_hash, UNKNOWN) for one in dispatches
    }
    restored = [
        one
        for query_id, events in _by_query(history).items()
        if (one := restore_query(events, signed.get(query_id, UNKNOWN), operators, now)) is not None
    ]
    await _write(database, history, [*nodes.values()], restored, tell)
    return Report(
        block=history.trail[0].number if history.trail else 0,
        events=len(history.events),
        nodes=sum(node.status != NodeStatus.GONE for node in nodes.values()),
        queries=len(restored),
        unfinished=sum(one.unfinished for one in restored),
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
    database: Database, history: History, nodes: Sequence[Node], restored: Sequence[Restored], tell: Tell
) -> None:
    rows: dict[type[SQLModel], list[Row]] = {
        Node: [node.model_dump() for node in nodes],
        Query: [one.query for one in restored],
        Participant: [row for one in restored for row in one.participants],
        QueryEventRow: [row for one in restored for row in one.told],
        ChainLog: [log_values(event, time).as_dict() for event, time in history.events],
        TrailBlock: [{"follower": FOLLOWER, "number": one.number, "hash": one.hash} for one in history.trail],
    }
    async with database.transaction() as session:
        await take_time(session)
        await exclusive(session, f"follower {FOLLOWER}")
        await _check_empty(session)
        for kind, values in rows.items():
            await _insert(session, kind, values, tell)


async def _insert(session: AsyncSession, kind: type[SQLModel], rows: Sequence[Row], tell: Tell) -> None:
    connection = await session.connection()
    for start in range(0, len(rows), _CHUNK_ROWS):
        tell(f"writing {start} of {len(rows)} {kind.__tablename__}")
        await connection.execute(insert(kind), rows[start : start + _CHUNK_ROWS])
