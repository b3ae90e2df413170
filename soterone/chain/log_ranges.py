"""Reads logs in ranges of blocks as large as the chain's node likes: halves what is too much, and grows again."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog

from soterone.chain.errors import RpcError

_log = structlog.get_logger(__name__)

RANGE_BLOCKS: Final = 5_000

Found = TypeVar("Found")
Item = TypeVar("Item")


class LogRanges:
    """Remembers how many blocks the node answers for at once; `most_blocks` is what is asked for at first."""

    def __init__(self, most_blocks: int = RANGE_BLOCKS) -> None:
        self._blocks = self._most_blocks = most_blocks

    async def read(
        self, first: int, target: int, ask: Callable[[int, int], Awaitable[Found]]
    ) -> tuple[Found, int]:
        """Return what `ask(first, last)` gives, heights inclusive, and `last`: at most `target`, often less. RpcError
        when the node refuses a single block."""
        while True:
            last = min(target, first + self._blocks - 1)
            try:
                found = await ask(first, last)
            except RpcError as problem:
                if first == last:
                    raise
                self._blocks = (last - first + 1) // 2
                _log.info("log_range_halved", blocks=self._blocks, problem=problem.message)
            else:
                self._blocks = min(self._blocks * 9 // 8 + 1, self._most_blocks)
                return found, last

    async def read_all(
        self, first: int, target: int, ask: Callable[[int, int], Awaitable[Sequence[Item]]]
    ) -> list[Item]:
        """Return everything that `ask(first, last)` gives of a range of heights, both included, in as many calls as
        it needs; nothing when the range is empty."""
        found: list[Item] = []
        while first <= target:
            part, last = await self.read(first, target, ask)
            found += part
            first = last + 1
        return found
