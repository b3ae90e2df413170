"""The chain watch without a chain: what is queued, in which order it is handed on, and what a reorganisation undoes."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from node_agent.chain_watch import ChainWatch, QueryEvent, StoreCursor
from node_agent.directory import ChainDirectory
from node_agent.store import Store
from soterone.chain.errors import CursorMovedError
from soterone.chain.events import (
    Event,
    LogPosition,
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
from soterone.crypto.accounts import account
from soterone.domain.ids import Account, QueryId, hash32, query_id

OURS, THEIRS = query_id(b"\x01" * 32), query_id(b"\x02" * 32)
HASH = hash32(b"\x05" * 32)


def who(number: int) -> Account:
    return account(number.to_bytes(20))


OWN = who(1)


def at(block: int, index: int = 0) -> LogPosition:
    return LogPosition(31337, block, index, hash32(block.to_bytes(32)), HASH)


def ref(block: int) -> BlockRef:
    return BlockRef(block, hash32(block.to_bytes(32)))


def dispatched(
    query: QueryId, block: int, *mpcs: Account, owners: tuple[Account, ...] = (who(8),)
) -> QueryDispatched:
    return QueryDispatched(at(block), query, who(9), HASH, owners, mpcs, HASH, 60, 5, 5)


class Chain:
    """Feeds a watch as the follower would, block by block."""

    def __init__(self, store: Store) -> None:
        self.handled: list[QueryEvent] = []
        self.failing: set[QueryId] = set()
        self.store = store
        self.cursor = StoreCursor(store)
        self.watch = ChainWatch(store, OWN, self.handle)

    async def handle(self, event: QueryEvent) -> None:
        if event.query_id in self.failing:
            raise RuntimeError("the session is not ready")
        self.handled.append(event)

    async def mine(self, block: int, *events: Event) -> None:
        before = next(iter(await self.cursor.trail()), None)
        mined = Block(block, ref(block).hash, HASH, 0, 0)
        async with self.cursor.begin() as transaction:
            await self.watch.apply(transaction, mined, events)
            await transaction.advance(before, mined.ref)

    async def reorganise(self, ancestor: int | None) -> None:
        trail: Sequence[BlockRef] = await self.cursor.trail()
        async with self.cursor.begin() as transaction:
            to = None if ancestor is None else ref(ancestor)
            await self.watch.undo(
                transaction, [one for one in trail if to is None or one.number > to.number], to
            )
            await transaction.rewind(trail[0], to)

    async def deliver(self) -> list[QueryEvent]:
        self.handled.clear()
        task = asyncio.create_task(self.watch.deliver())
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return list(self.handled)


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(Store.open(tmp_path / "agent.sqlite3"))


async def test_only_events_of_own_queries_are_handed_on_in_order_and_once(chain: Chain) -> None:
    first, other = dispatched(OURS, 1, OWN, who(2), who(3)), dispatched(THEIRS, 1, who(4), who(5), who(6))
    done = QueryCompleted(at(2), OURS, 0, HASH)
    cleanup = QueryCleanup(at(3), OURS)
    await chain.mine(1, first, other)
    await chain.mine(2, done, QueryFailed(at(2, 1), THEIRS, 4, who(0)))
    await chain.mine(3, cleanup)
    assert await chain.deliver() == [first, done, cleanup]
    assert await chain.deliver() == []


async def test_an_owner_and_a_successor_are_named_too(chain: Chain) -> None:
    as_owner = dispatched(OURS, 1, who(4), who(5), who(6), owners=(OWN, who(8)))
    succeeded = MPCUpdated(at(2), THEIRS, who(4), OWN, 1, 1, (OWN, who(7)))
    failed = QueryFailed(at(3), THEIRS, 2, who(0))
    await chain.mine(1, as_owner)
    await chain.mine(
        2, succeeded, MPCUpdated(at(2, 1), query_id(b"\x03" * 32), who(4), who(5), 1, 1, (who(5),))
    )
    await chain.mine(3, failed)
    assert await chain.deliver() == [as_owner, succeeded, failed]


async def test_an_event_that_fails_is_kept_and_holds_back_only_its_own_query(chain: Chain) -> None:
    ours, theirs = dispatched(OURS, 1, OWN, who(2), who(3)), dispatched(THEIRS, 2, OWN, who(2), who(3))
    over = QueryFailed(at(3), OURS, 4, who(0))
    for block, event in enumerate((ours, theirs, over), start=1):
        await chain.mine(block, event)
    chain.failing = {OURS}
    assert await chain.deliver() == [theirs]
    chain.failing = set()
    assert await chain.deliver() == [ours, over]


async def test_what_was_not_handled_before_a_kill_is_handled_after_it(chain: Chain, tmp_path: Path) -> None:
    order = dispatched(OURS, 1, OWN, who(2), who(3))
    await chain.mine(1, order)
    chain.store.close()
    again = Chain(Store.open(tmp_path / "agent.sqlite3"))
    assert await again.cursor.trail() == [ref(1)]
    assert await again.deliver() == [order]


async def test_a_reorganisation_forgets_and_hears_again(chain: Chain) -> None:
    await chain.mine(1)
    order = dispatched(OURS, 2, OWN, who(2), who(3))
    await chain.mine(2, order)
    await chain.mine(3, QueryFailed(at(3), OURS, 4, who(0)))
    await chain.deliver()
    await chain.reorganise(1)
    assert await chain.cursor.trail() == [ref(1)]
    await chain.mine(2, QueryCleanup(at(2), OURS))
    assert await chain.deliver() == [], "a query whose order is gone is not ours"
    moved = dispatched(OURS, 3, OWN, who(2), who(3))
    await chain.mine(3, moved)
    assert await chain.deliver() == [moved]
    await chain.reorganise(None)
    assert await chain.cursor.trail() == []


async def test_a_cursor_that_another_moved_writes_nothing(chain: Chain) -> None:
    async def advance_from_the_wrong_place() -> None:
        async with chain.cursor.begin() as transaction:
            event = dispatched(OURS, 2, OWN, who(2), who(3))
            await chain.watch.apply(transaction, Block(2, HASH, HASH, 0, 0), [event])
            await transaction.advance(None, ref(2))

    await chain.mine(1)
    with pytest.raises(CursorMovedError):
        await advance_from_the_wrong_place()
    assert await chain.deliver() == []


async def test_the_directory_follows_the_registry(chain: Chain) -> None:
    directory = ChainDirectory(chain.store.node_keys)
    node, operator, keys = who(20), who(21), [hash32(bytes([i]) * 32) for i in range(3)]
    await chain.mine(1, NodeRegistered(at(1), node, operator, 1, 2, 256, keys[0], HASH))
    assert directory.operator(node) == operator
    await chain.mine(2, NodeUpdated(at(2), node, 2, 3, 257, keys[1], HASH))
    assert directory.key_hash(node) == b"\x01" * 32
    assert directory.account_of(b"\x00" * 32) is None
    await chain.mine(3, NodeSuspended(at(3), node, True))
    assert directory.key_hash(node) is None
    await chain.mine(4, NodeSuspended(at(4), node, False))
    assert directory.key_hash(node) == b"\x01" * 32
    await chain.mine(5, NodeUnregistered(at(5), node, 1))
    assert directory.key_hash(node) is None
    await chain.mine(6, NodeRegistered(at(6), node, operator, 2, 2, 256, keys[2], HASH))
    assert directory.key_hash(node) == b"\x02" * 32
    await chain.reorganise(1)
    assert directory.key_hash(node) == b"\x00" * 32
