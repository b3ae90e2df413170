"""Reads every event of the contracts, checked as the follower checks them, with the trail that it would have kept."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from soterone.chain.client import ChainClient
from soterone.chain.cursor import InMemoryCursorStore, MemoryCursorTransaction
from soterone.chain.damaged_logs import PATIENCE_SECONDS, DamagedLogsError
from soterone.chain.events import Event
from soterone.chain.follower import Follower
from soterone.chain.records import Block, BlockRef

_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class History:
    """Events in the chain's order, each with its block's time (s), and the positions to go on from, newest first."""

    events: tuple[tuple[Event, int], ...]
    trail: tuple[BlockRef, ...]


@dataclass(slots=True)
class _Collector:
    heard: Callable[[int], None]
    blocks: list[tuple[Block, tuple[Event, ...]]] = field(default_factory=list)

    async def apply(
        self, transaction: MemoryCursorTransaction, block: Block, events: Sequence[Event]
    ) -> None:
        self.blocks.append((block, tuple(events)))
        self.heard(block.number)

    async def undo(
        self, transaction: MemoryCursorTransaction, removed: Sequence[BlockRef], ancestor: BlockRef | None
    ) -> None:
        kept = -1 if ancestor is None else ancestor.number
        self.blocks = [one for one in self.blocks if one[0].number <= kept]


async def read_history(
    chain: ChainClient,
    confirmations: int,
    heard: Callable[[int], None] = lambda number: None,
    *,
    damaged_log_seconds: float = PATIENCE_SECONDS,
) -> History:
    """Return everything up to the confirmed head; `heard` is told the number of each block with events. A log that is
    no event is asked for again for `damaged_log_seconds`, and then left out, as the follower does.

    ChainError when the chain cannot be read.
    """
    store, collector = InMemoryCursorStore(), _Collector(heard)
    await _catch_up(
        Follower(
            chain, store, collector, confirmations=confirmations, damaged_log_seconds=damaged_log_seconds
        )
    )
    events = tuple((event, block.timestamp) for block, found in collector.blocks for event in found)
    return History(events, tuple(await store.trail()))


async def _catch_up(follower: Follower[MemoryCursorTransaction]) -> None:
    """Catch up; wait with the follower for a log that is no event."""
    while True:
        try:
            return await follower.catch_up()
        except DamagedLogsError:
            await asyncio.sleep(_PAUSE_SECONDS)
