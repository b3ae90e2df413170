"""What every cursor store must do: subclass `CursorStoreSuite`, say how to make one, and pytest runs all of it."""

from abc import ABC, abstractmethod
from typing import Any

import pytest

from soterone.chain.cursor import TRAIL_BLOCKS, CursorStore
from soterone.chain.errors import CursorMovedError
from soterone.chain.records import BlockRef
from soterone.domain.ids import hash32


def ref(number: int, branch: int = 0) -> BlockRef:
    return BlockRef(number, hash32(branch.to_bytes(1) + number.to_bytes(31)))


class CursorStoreSuite(ABC):
    """`self.store` is fresh in each test."""

    store: CursorStore[Any]

    @pytest.fixture(autouse=True)
    async def _fresh(self, request: pytest.FixtureRequest) -> None:
        self.store = await self.make(request)

    @abstractmethod
    async def make(self, request: pytest.FixtureRequest) -> CursorStore[Any]:
        """Return an empty store; `request.getfixturevalue` gives what it needs."""

    async def advance(self, expected: BlockRef | None, *to: BlockRef) -> None:
        async with self.store.begin() as transaction:
            await transaction.advance(expected, *to)

    async def rewind(self, expected: BlockRef, to: BlockRef | None) -> None:
        async with self.store.begin() as transaction:
            await transaction.rewind(expected, to)

    async def test_the_trail_is_newest_first(self) -> None:
        assert list(await self.store.trail()) == []
        await self.advance(None, ref(5))
        await self.advance(ref(5), ref(9))
        assert list(await self.store.trail()) == [ref(9), ref(5)]

    async def test_only_who_knows_the_cursor_moves_it(self) -> None:
        await self.advance(None, ref(5))
        for expected in (None, ref(4), ref(5, branch=1)):
            with pytest.raises(CursorMovedError):
                await self.advance(expected, ref(6))
        with pytest.raises(CursorMovedError):
            await self.rewind(ref(6), None)
        assert list(await self.store.trail()) == [ref(5)]

    async def test_a_rewind_forgets_what_came_after(self) -> None:
        await self.advance(None, ref(1))
        for number in (2, 3, 4):
            await self.advance(ref(number - 1), ref(number))
        await self.rewind(ref(4), ref(2))
        assert list(await self.store.trail()) == [ref(2), ref(1)]
        await self.advance(ref(2), ref(3, branch=1))
        assert list(await self.store.trail()) == [ref(3, branch=1), ref(2), ref(1)]

    async def test_many_blocks_in_one_transaction(self) -> None:
        await self.advance(None, ref(1), ref(2), ref(5))
        assert list(await self.store.trail()) == [ref(5), ref(2), ref(1)]
        await self.advance(ref(5), *(ref(number) for number in range(6, TRAIL_BLOCKS + 20)))
        assert next(iter(await self.store.trail())) == ref(TRAIL_BLOCKS + 19)
        assert TRAIL_BLOCKS <= len(await self.store.trail()) <= 2 * TRAIL_BLOCKS
        with pytest.raises(CursorMovedError):
            await self.advance(ref(5), ref(TRAIL_BLOCKS + 20), ref(TRAIL_BLOCKS + 21))
        await self.rewind(ref(TRAIL_BLOCKS + 19), ref(TRAIL_BLOCKS + 10))
        assert next(iter(await self.store.trail())) == ref(TRAIL_BLOCKS + 10)

    async def test_a_rewind_before_everything(self) -> None:
        await self.advance(None, ref(1))
        await self.rewind(ref(1), None)
        assert list(await self.store.trail()) == []
        await self.advance(None, ref(1, branch=1))

    async def test_a_failed_transaction_moves_nothing(self) -> None:
        await self.advance(None, ref(1))
        with pytest.raises(OSError, match="disk"):
            await self._advance_and_fail()
        assert list(await self.store.trail()) == [ref(1)]

    async def test_the_trail_is_long_enough_and_does_not_grow_for_ever(self) -> None:
        await self.advance(None, ref(1))
        for number in range(2, TRAIL_BLOCKS + 11):
            await self.advance(ref(number - 1), ref(number))
        trail = list(await self.store.trail())
        assert trail[:TRAIL_BLOCKS] == [ref(TRAIL_BLOCKS + 10 - back) for back in range(TRAIL_BLOCKS)]
        assert len(trail) <= 2 * TRAIL_BLOCKS

    async def _advance_and_fail(self) -> None:
        async with self.store.begin() as transaction:
            await transaction.advance(ref(1), ref(2))
            raise OSError("the disk is full")
