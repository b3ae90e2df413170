"""What confirmed events do to the rows, inside the transaction that moves the follower's cursor."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.chain.log_rows import data_of, event_of, log_of
from coordinator.chain.projection import project
from coordinator.chain.sql_cursor import SqlCursorTransaction
from coordinator.models.chain import ChainLog
from coordinator.models.queries import Query
from coordinator.nodes import events as nodes
from coordinator.queries import repository
from soterone.chain.events import (
    Event,
    NodeRegistered,
    NodeSuspended,
    NodeUnregistered,
    NodeUpdated,
)
from soterone.chain.records import Block, BlockRef
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account

_TOLD = {
    "QueryDispatched": "dispatched",
    "MPCUpdated": "mpc-updated",
    "QueryCompleted": "completed",
    "QueryFailed": "failed",
    "QueryCleanup": "cleanup-announced",
    "QuerySettled": "settled",
    "FeedbackGiven": "feedback-given",
    "ReputationUpdated": "reputation-updated",
}
"""Events that a query's customer is told of, by the kind of the query's event."""

_REGISTRY: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (NodeRegistered, NodeUpdated, NodeUnregistered, NodeSuspended)
}
"""Events that say how a node stands."""

_SHORTER = {"old_mpc": "old", "new_mpc": "new"}


class CoordinatorHandler:
    """Keeps every event as a log row, projects queries from their rows and hands node events to the node manager."""

    async def apply(self, transaction: SqlCursorTransaction, block: Block, events: Sequence[Event]) -> None:
        """See `soterone.chain.cursor.Handler`."""
        session = transaction.session
        fresh: list[Event] = []
        touched: dict[str, None] = {}
        for event in events:
            log = log_of(event, block.timestamp)
            if await session.get(ChainLog, _identity(log)) is not None:
                continue
            session.add(log)
            await session.flush()
            fresh.append(event)
            await nodes.apply(session, event)
            if log.query_id is not None:
                touched[log.query_id] = None
        for query_id in touched:
            await project(session, query_id)
        for event in fresh:
            await _tell(session, event)

    async def undo(
        self, transaction: SqlCursorTransaction, removed: Sequence[BlockRef], ancestor: BlockRef | None
    ) -> None:
        """See `soterone.chain.cursor.Handler`."""
        session = transaction.session
        above = col(ChainLog.block_number) > (-1 if ancestor is None else ancestor.number)
        newest_first = (col(ChainLog.block_number).desc(), col(ChainLog.log_index).desc())
        gone = list(await session.scalars(select(ChainLog).where(above).order_by(*newest_first)))
        await session.execute(delete(ChainLog).where(above))
        for account in dict.fromkeys(log.node for log in gone if log.node and log.name in _REGISTRY):
            await nodes.rewound(session, Account(account), await _registry_events(session, account))
        for query_id in dict.fromkeys(log.query_id for log in gone if log.query_id):
            await project(session, query_id)
            if await repository.get(session, query_id) is not None:
                await repository.add_event(session, query_id, "chain-reorganised")


def _identity(log: ChainLog) -> tuple[int, str, str, int]:
    return log.chain_id, log.block_hash, log.transaction_hash, log.log_index


async def _registry_events(session: AsyncSession, account: str) -> list[Event]:
    """Return what the registry said of a node, as far as it stands, in the chain's order."""
    logs = await session.scalars(
        select(ChainLog)
        .where(col(ChainLog.node) == account, col(ChainLog.name).in_(_REGISTRY))
        .order_by(col(ChainLog.block_number), col(ChainLog.log_index))
    )
    return [event_of(log, _REGISTRY) for log in logs]


async def _tell(session: AsyncSession, event: Event) -> None:
    query = await session.get(Query, data_of(event).get("query_id", ""))
    if query is None or query.dispatched_tx is None:
        return
    told = told_of(event, query.failure_sentence)
    if told is not None:
        await repository.add_event(session, query.id, *told)


def told_of(event: Event, failure_sentence: str) -> tuple[str, dict[str, Any]] | None:
    """Return kind and data of what a query's customer is told of an event, None when that is nothing."""
    kind, data = _TOLD.get(type(event).__name__), data_of(event)
    if kind is None:
        return None
    told = {name: value for name, value in data.items() if name not in ("query_id", "customer")}
    told = {_SHORTER.get(name, name): value for name, value in told.items()}
    told |= {"tx": event.position.transaction_hash, "block": event.position.block_number}
    if kind == "failed":
        kind = "cancelled" if data["reason"] == FailureReason.CANCELLED else kind
        told["sentence"] = failure_sentence
    return kind, told
