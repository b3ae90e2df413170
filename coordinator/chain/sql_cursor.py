"""The follower's durable cursor (`soterone.chain.cursor.CursorStore`), in SQL: events and cursor commit together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import Database, exclusive
from coordinator.models.chain import TrailBlock
from coordinator.wakeups import Topic, Wakeups
from soterone.chain.cursor import TRAIL_BLOCKS
from soterone.chain.errors import CursorMovedError
from soterone.chain.records import BlockRef
from soterone.domain.ids import hash32

FOLLOWER = "coordinator"
"""The name of the cursor that the rows follow."""


class SqlCursorTransaction:
    """One database transaction; the handler writes through `session`."""

    def __init__(self, session: AsyncSession, follower: str) -> None:
        self.session, self._follower = session, follower

    async def advance(self, expected: BlockRef | None, *to: BlockRef) -> None:
        """See CursorTransaction."""
        await self._check(expected)
        self.session.add_all(
            TrailBlock(follower=self._follower, number=one.number, hash=one.hash) for one in to
        )
        await self.session.flush()
        await self._prune()

    async def rewind(self, expected: BlockRef, to: BlockRef | None) -> None:
        """See CursorTransaction."""
        await self._check(expected)
        kept = -1 if to is None else to.number
        await self.session.execute(
            delete(TrailBlock).where(
                col(TrailBlock.follower) == self._follower, col(TrailBlock.number) > kept
            )
        )

    async def _check(self, expected: BlockRef | None) -> None:
        newest = await trail_of(self.session, self._follower, 1)
        if (newest[0] if newest else None) != expected:
            raise CursorMovedError

    async def _prune(self) -> None:
        oldest = await self.session.scalar(
            select(col(TrailBlock.number))
            .where(col(TrailBlock.follower) == self._follower)
            .order_by(col(TrailBlock.number).desc())
            .offset(TRAIL_BLOCKS - 1)
            .limit(1)
        )
        if oldest is not None:
            await self.session.execute(
                delete(TrailBlock).where(
                    col(TrailBlock.follower) == self._follower, col(TrailBlock.number) < oldest
                )
            )


class SqlCursorStore:
    """The cursor of one follower, by its name. Whoever waits for the chain is woken after each commit."""

    def __init__(self, database: Database, wakeups: Wakeups, follower: str = FOLLOWER) -> None:
        self._database, self._wakeups, self._follower = database, wakeups, follower

    async def trail(self) -> Sequence[BlockRef]:
        """See CursorStore."""
        async with self._database.reading() as session:
            return await trail_of(session, self._follower, TRAIL_BLOCKS)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlCursorTransaction]:
        """See CursorStore."""
        async with self._database.transaction() as session:
            await exclusive(session, f"follower {self._follower}")
            yield SqlCursorTransaction(session, self._follower)
        self._wakeups.notify(Topic.CHAIN, Topic.QUERIES)


async def trail_of(session: AsyncSession, follower: str, limit: int) -> list[BlockRef]:
    """Return a follower's last positions, newest first."""
    found = await session.scalars(
        select(TrailBlock)
        .where(col(TrailBlock.follower) == follower)
        .order_by(col(TrailBlock.number).desc())
        .limit(limit)
    )
    return [BlockRef(one.number, hash32(one.hash)) for one in found]
