"""The cursor in SQL: compare-and-set, commits with what was written beside it, a bounded trail."""

import pytest

from coordinator.chain.sql_cursor import SqlCursorStore
from coordinator.database import Database
from coordinator.models.chain import TrailBlock
from coordinator.wakeups import Topic, Wakeups
from soterone.chain.cursor import TRAIL_BLOCKS
from soterone.chain.errors import CursorMovedError
from soterone.chain.records import BlockRef
from soterone.domain.ids import hash32


def block(number: int, branch: int = 0) -> BlockRef:
    return BlockRef(number, hash32(number.to_bytes(16) + branch.to_bytes(16)))


@pytest.fixture
def store(database: Database) -> SqlCursorStore:
    return SqlCursorStore(database, Wakeups())


async def advance(store: SqlCursorStore, *blocks: BlockRef) -> None:
    for one in blocks:
        trail = await store.trail()
        async with store.begin() as transaction:
            await transaction.advance(trail[0] if trail else None, one)


async def test_the_trail_is_newest_first_and_rewinds(store: SqlCursorStore) -> None:
    assert await store.trail() == []
    await advance(store, block(3), block(5), block(9))
    assert await store.trail() == [block(9), block(5), block(3)]
    async with store.begin() as transaction:
        await transaction.rewind(block(9), block(3))
    await advance(store, block(5, branch=1))
    assert await store.trail() == [block(5, branch=1), block(3)]
    async with store.begin() as transaction:
        await transaction.rewind(block(5, branch=1), None)
    assert await store.trail() == []


async def test_who_expects_another_cursor_writes_nothing(store: SqlCursorStore, database: Database) -> None:
    await advance(store, block(3))

    async def write(expected: BlockRef | None) -> None:
        async with store.begin() as transaction:
            transaction.session.add(TrailBlock(follower="other", number=1, hash=block(1).hash))
            await transaction.advance(expected, block(4))

    for expected in (None, block(2), block(3, branch=1)):
        with pytest.raises(CursorMovedError):
            await write(expected)
    with pytest.raises(CursorMovedError):
        async with store.begin() as transaction:
            await transaction.rewind(block(4), None)
    assert await store.trail() == [block(3)]
    assert await SqlCursorStore(database, Wakeups(), "other").trail() == []


async def test_the_trail_is_bounded(store: SqlCursorStore) -> None:
    async with store.begin() as transaction:
        await transaction.advance(None, block(0))
        for number in range(1, TRAIL_BLOCKS + 20):
            await transaction.advance(block(number - 1), block(number))
    trail = await store.trail()
    assert (len(trail), trail[0]) == (TRAIL_BLOCKS, block(TRAIL_BLOCKS + 19))


async def test_a_commit_wakes_and_a_rollback_does_not(database: Database) -> None:
    wakeups = Wakeups()
    store = SqlCursorStore(database, wakeups)
    with wakeups.listen(Topic.CHAIN) as bell:
        await advance(store, block(1))
        assert await bell.wait(0.1)
        with pytest.raises(CursorMovedError):
            async with store.begin() as transaction:
                await transaction.advance(None, block(2))
        assert not await bell.wait(0.01)
