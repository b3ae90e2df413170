"""Reads the contracts' events block by block, from one height on: what a follower hands on, and what a rebuild replays.

Near the head every block's logs are compared with its header; deeper down, where nodes have long indexed everything,
the logs of thousands of blocks come in one answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from soterone.chain.client import ChainClient
from soterone.chain.damaged_logs import Patience, Reading
from soterone.chain.errors import UnknownBlockError
from soterone.chain.events import Event
from soterone.chain.log_ranges import RANGE_BLOCKS, LogRanges
from soterone.chain.records import Block, BlockRef

_BLOCKS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class BlockEvents:
    """A block and its events; without any it is the end of what was read."""

    block: Block
    events: tuple[Event, ...]


class BlockReader:
    """Reads through one client. `near_blocks` is how far below the head every header is looked at."""

    def __init__(
        self,
        client: ChainClient,
        patience: Patience,
        *,
        range_blocks: int = RANGE_BLOCKS,
        near_blocks: int = 1_024,
    ) -> None:
        self._client, self._patience = client, patience
        self._ranges = LogRanges(range_blocks)
        self._near_blocks = near_blocks

    async def read(
        self, first: int, target: int, head: Block, parent: BlockRef | None = None
    ) -> list[BlockEvents]:
        """Return the blocks with events from height `first` on, and the last block read: at most `target`, often less.

        `head` is the newest block, asked for just before; `parent` the one that `first` must stand on. Errors:
        UnknownBlockError when the chain changed meanwhile, OmittedLogsError when its node does not tell everything,
        DamagedLogsError while logs that are no events are waited for.
        """
        deep = head.number - self._near_blocks
        if first < deep:
            asked = min(target, deep - 1)
            found, last = await self._ranges.read(first, asked, self._range)
            self._patience.leave_out(found.damaged)
            return await self._located(found.events, last, head)
        blocks = await self._linked(first, min(target, first + _BLOCKS_AT_ONCE - 1), head, parent)
        readings = await self._client.readings_of(blocks)
        self._patience.leave_out([log for one in readings for log in one.damaged])
        read = [BlockEvents(block, one.events) for block, one in zip(blocks, readings, strict=True)]
        return [one for one in read if one.events or one is read[-1]]

    async def _range(self, first: int, last: int) -> Reading:
        return self._client.reading(await self._client.logs_between(first, last))

    async def _linked(self, first: int, last: int, head: Block, parent: BlockRef | None) -> list[Block]:
        """Return the blocks of these heights; each is the child of the one before."""
        missing = range(first, min(last, head.number - 1) + 1)
        found = [*await self._client.blocks(missing), *([head] if last >= head.number else [])]
        blocks: list[Block] = []
        parent_hash = parent.hash if parent else None
        for number, block in enumerate(found, first):
            if block is None or (parent_hash is not None and block.parent_hash != parent_hash):
                raise UnknownBlockError(number)
            blocks.append(block)
            parent_hash = block.hash
        return blocks

    async def _located(self, events: Sequence[Event], last: int, head: Block) -> list[BlockEvents]:
        """Group a range's events by block. The head that was known before the logs were read is asked for again
        after them: when it still stands, no reorganisation came between."""
        grouped = groupby(events, key=lambda one: one.position.block_number)
        groups = {number: tuple(group) for number, group in grouped}
        heights = sorted({*groups, last})
        found = await self._known([*heights, head.number])
        if found[head.number].hash != head.hash:
            raise UnknownBlockError(head.hash)
        for height, group in groups.items():
            if any(one.position.block_hash != found[height].hash for one in group):
                raise UnknownBlockError(height)
        return [BlockEvents(found[height], groups.get(height, ())) for height in heights]

    async def _known(self, heights: Sequence[int]) -> dict[int, Block]:
        known: dict[int, Block] = {}
        for start in range(0, len(heights), _BLOCKS_AT_ONCE):
            numbers = heights[start : start + _BLOCKS_AT_ONCE]
            for number, block in zip(numbers, await self._client.blocks(numbers), strict=True):
                if block is None:
                    raise UnknownBlockError(number)
                known[number] = block
        return known
