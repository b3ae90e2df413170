"""Where a follower stands: the store that keeps its cursor, and the handler whose work is saved with it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TypeVar

from soterone.chain.errors import CursorMovedError
from soterone.chain.events import Event
from soterone.chain.records import Block, BlockRef

TRAIL_BLOCKS = 256
"""How many of the last cursor positions a store keeps at least, to find the common ancestor after a reorganisation."""


class CursorTransaction(Protocol):
    """One transaction of the store; what the handler writes through it commits with the cursor or not at all."""

    async def advance(self, expected: BlockRef | None, *to: BlockRef) -> None:
        """Move the cursor forward to the last of `to` (ascending, at least one) and append them all to the trail.

        MUST raise CursorMovedError, and so write nothing, unless the cursor stands at `expected` (None: no cursor yet).
        """

    async def rewind(self, expected: BlockRef, to: BlockRef | None) -> None:
        """Move the cursor back to a position of the trail (None: before everything) and forget the trail after it.

        MUST raise CursorMovedError unless the cursor stands at `expected`.
        """


Opened = TypeVar("Opened", bound=CursorTransaction, covariant=True)
Taken = TypeVar("Taken", bound=CursorTransaction, contravariant=True)


class CursorStore(Protocol[Opened]):
    """The durable cursor of one follower."""

    async def trail(self) -> Sequence[BlockRef]:
        """Return the last positions, newest (the cursor itself) first; empty before the first block."""

    def begin(self) -> AbstractAsyncContextManager[Opened]:
        """Open a transaction: commits at the end of the block, rolls back on any exception."""


class Handler(Protocol[Taken]):
    """Who acts on confirmed events. Both methods may run again after a crash or CursorMovedError, never after a commit;
    they MUST write through the transaction alone and call no network."""

    async def apply(self, transaction: Taken, block: Block, events: Sequence[Event]) -> None:
        """Take the events of one confirmed block, in order; never empty, blocks ascending."""

    async def undo(self, transaction: Taken, removed: Sequence[BlockRef], ancestor: BlockRef | None) -> None:
        """Take back what was applied above `ancestor` (None: everything), as a reorganisation removed it.

        `removed` are the positions of the trail that went, newest first; those without events may be among them.
        """


class MemoryCursorTransaction:
    """A transaction of `InMemoryCursorStore`: it touches the trail only when it commits."""

    def __init__(self, trail: Sequence[BlockRef]) -> None:
        self.trail = list(trail)

    async def advance(self, expected: BlockRef | None, *to: BlockRef) -> None:
        """See CursorTransaction."""
        self._check(expected)
        self.trail += to

    async def rewind(self, expected: BlockRef, to: BlockRef | None) -> None:
        """See CursorTransaction."""
        self._check(expected)
        del self.trail[self.trail.index(to) + 1 if to else 0 :]

    def _check(self, expected: BlockRef | None) -> None:
        if (self.trail[-1] if self.trail else None) != expected:
            raise CursorMovedError


class InMemoryCursorStore:
    """A cursor that lasts as long as the process: for auditors, tests, and agents that replay from the start."""

    def __init__(self) -> None:
        self._trail: list[BlockRef] = []

    async def trail(self) -> Sequence[BlockRef]:
        """See CursorStore."""
        return self._trail[::-1]

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryCursorTransaction]:
        """See CursorStore."""
        before = self._trail
        transaction = MemoryCursorTransaction(before)
        yield transaction
        if self._trail is not before:
            raise CursorMovedError
        self._trail = transaction.trail[-TRAIL_BLOCKS:]
