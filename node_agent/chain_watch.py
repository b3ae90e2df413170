"""Reads the chain through this agent's own RPC: keeps the directory of nodes, and queues what concerns its queries.

What is queued enters the store together with the cursor, and is handed on at least once, in the chain's order.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import structlog
from pydantic import TypeAdapter

from node_agent.store import Store
from node_agent.store.chain_log import LoggedEvent
from node_agent.store.node_keys import NodeKey
from soterone.chain.errors import CursorMovedError
from soterone.chain.events import (
    Event,
    MPCUpdated,
    NodeRegistered,
    NodeSuspended,
    NodeUnregistered,
    NodeUpdated,
    QueryCleanup,
    QueryCompleted,
    QueryDispatched,
    QueryFailed,
)
from soterone.chain.records import Block, BlockRef
from soterone.domain.ids import Account, QueryId

log = structlog.get_logger()

QueryEvent = QueryDispatched | MPCUpdated | QueryCompleted | QueryFailed | QueryCleanup
"""What sessions hear of."""

_KINDS: dict[str, TypeAdapter[QueryEvent]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (QueryDispatched, MPCUpdated, QueryCompleted, QueryFailed, QueryCleanup)
}
_RETRY_SECONDS = 1.0


class StoreTransaction:
    """The follower's transaction on the agent's store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def advance(self, expected: BlockRef | None, *to: BlockRef) -> None:
        """See soterone.chain.cursor.CursorTransaction."""
        self._check(expected)
        self.store.chain_log.advance(*to)

    async def rewind(self, expected: BlockRef, to: BlockRef | None) -> None:
        """See soterone.chain.cursor.CursorTransaction; what was read after `to` is forgotten."""
        self._check(expected)
        first = 0 if to is None else to.number + 1
        self.store.chain_log.rewind(first)
        self.store.node_keys.rewind(first)

    def _check(self, expected: BlockRef | None) -> None:
        if next(iter(self.store.chain_log.trail()), None) != expected:
            raise CursorMovedError


class StoreCursor:
    """The follower's cursor in the agent's store. Its transactions never suspend, as SQLite's lock is held."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def trail(self) -> Sequence[BlockRef]:
        """See soterone.chain.cursor.CursorStore."""
        return self._store.chain_log.trail()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[StoreTransaction]:
        """See soterone.chain.cursor.CursorStore."""
        with self._store.transaction():
            yield StoreTransaction(self._store)


class ChainWatch:
    """The follower's handler, and the loop that hands queued events on."""

    def __init__(self, store: Store, own: Account, handle: Callable[[QueryEvent], Awaitable[None]]) -> None:
        self._store = store
        self._own = own
        self._handle = handle
        self._queued = asyncio.Event()

    async def apply(self, transaction: StoreTransaction, block: Block, events: Sequence[Event]) -> None:
        """See soterone.chain.cursor.Handler."""
        for event in events:
            if isinstance(event, QueryEvent):
                self._queue(event)
            elif key := self._node_after(event):
                self._store.node_keys.append(key)

    async def undo(
        self, transaction: StoreTransaction, removed: Sequence[BlockRef], ancestor: BlockRef | None
    ) -> None:
        """See soterone.chain.cursor.Handler. The rewind forgets; sessions keep their generation and hear it again."""
        log.warning("chain reorganised", blocks=len(removed), ancestor=ancestor.number if ancestor else None)

    async def deliver(self) -> None:
        """Hand queued events on until cancelled. One that fails is tried again, and holds back its query's others."""
        while True:
            self._queued.clear()
            failed = await self._deliver_queued()
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS if failed else None):
                    await self._queued.wait()

    async def _deliver_queued(self) -> bool:
        failed: set[QueryId] = set()
        for logged in self._store.chain_log.unhandled():
            if logged.query_id in failed:
                continue
            started = time.monotonic()
            try:
                await self._handle(_KINDS[logged.name].validate_json(logged.event))
            except Exception:
                log.exception("chain event not handled", query_id=logged.query_id, event_name=logged.name)
                failed.add(logged.query_id)
                continue
            self._store.chain_log.mark_handled(logged)
            seconds = round(time.monotonic() - started, 4)
            log.info("chain event handled", query_id=logged.query_id, event_name=logged.name, seconds=seconds)
        return bool(failed)

    def _queue(self, event: QueryEvent) -> None:
        if not self._concerns_us(event):
            return
        name = type(event).__name__
        text = _KINDS[name].dump_json(event).decode()
        position = event.position
        self._store.chain_log.append(
            LoggedEvent(position.block_number, position.log_index, event.query_id, name, text)
        )
        self._queued.set()

    def _concerns_us(self, event: QueryEvent) -> bool:
        match event:
            case QueryDispatched() if self._own in (*event.owners, *event.mpcs):
                return True
            case MPCUpdated() if self._own == event.new_mpc:
                return True
        return self._store.chain_log.knows(event.query_id)

    def _node_after(self, event: Event) -> NodeKey | None:
        """Return the node as it stands after a registry event, None for other events."""
        at = (event.position.block_number, event.position.log_index)
        match event:
            case NodeRegistered():
                return NodeKey(
                    event.node, *at, event.operator, event.roles, event.version, event.incarnation,
                    event.tls_key_hash, suspended=False,
                )  # fmt: skip
            case NodeUpdated() | NodeUnregistered() | NodeSuspended():
                known = self._store.node_keys.latest(event.node)
                return replace(_changed(known, event), block_number=at[0], log_index=at[1]) if known else None
        return None


def _changed(known: NodeKey, event: NodeUpdated | NodeUnregistered | NodeSuspended) -> NodeKey:
    match event:
        case NodeUpdated():
            return replace(known, roles=event.roles, version=event.version, tls_key_hash=event.tls_key_hash)
        case NodeUnregistered():
            return replace(known, tls_key_hash=None)
        case NodeSuspended():
            return replace(known, suspended=event.suspended)
