"""Follows the contracts' events from a saved (number, hash) cursor through reorganisations, restarts and lost sockets.

It reads by `eth_getLogs` alone; a WebSocket, when there is one, only tells it when to look.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeVar

import structlog

from soterone.chain.client import ChainClient
from soterone.chain.cursor import CursorStore, CursorTransaction, Handler
from soterone.chain.errors import ChainError, CursorMovedError, RpcError, UnknownBlockError
from soterone.chain.events import Event
from soterone.chain.head_watch import HeadWatch
from soterone.chain.records import Block, BlockRef

_log = structlog.get_logger(__name__)
_LAST_RETRY_SECONDS = 5.0
_MOST_CONTRADICTIONS = 20

TransactionT = TypeVar("TransactionT", bound=CursorTransaction)


@dataclass(frozen=True, slots=True)
class _Step:
    """One block to hand on, or, without events, the end of a range without any."""

    block: Block
    events: tuple[Event, ...]


class Follower(Generic[TransactionT]):
    """Hands every confirmed event to the handler once, in order, in the transaction that moves the cursor.

    A block is *seen* when it is the head and *confirmed* when `confirmations` blocks, itself included, are mined: 1
    means mined. Whatever a reorganisation removes below that is undone first. One follower a cursor does the work;
    a second one loses the compare-and-set and merely repeats reads.
    """

    def __init__(
        self,
        client: ChainClient,
        store: CursorStore[TransactionT],
        handler: Handler[TransactionT],
        *,
        confirmations: int = 1,
        poll_seconds: float = 1.0,
        range_blocks: int = 5_000,
        ws_url: str | None = None,
    ) -> None:
        if confirmations < 1:
            raise ValueError("confirmations must be at least 1: a block that is mined has one")
        self._client, self._store, self._handler = client, store, handler
        self._confirmations, self._poll_seconds = confirmations, poll_seconds
        self._range_blocks = self._most_range_blocks = range_blocks
        self._woken = asyncio.Event()
        self._heads = HeadWatch(ws_url, self.wake) if ws_url else None
        self.seen: Block | None = None
        self.confirmed: BlockRef | None = None
        self.last_head_at: float | None = None
        self.last_answer_at: float | None = None

    @property
    def head_age_seconds(self) -> float | None:
        """Seconds since the head last changed; None before the first. On a chain that mines on demand it may grow
        without harm: judge health by `answer_age_seconds`."""
        return None if self.last_head_at is None else time.monotonic() - self.last_head_at

    @property
    def answer_age_seconds(self) -> float | None:
        """Seconds since everything up to the confirmed head was handled; None before the first time."""
        return None if self.last_answer_at is None else time.monotonic() - self.last_answer_at

    @property
    def head_watch_connected(self) -> bool:
        """Whether the WebSocket, if there is one, has a living subscription."""
        return self._heads is not None and self._heads.connected

    def wake(self) -> None:
        """Look at the chain at once."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`; errors of the chain are logged and retried for ever, a handler's errors too."""
        watch = asyncio.create_task(self._heads.run()) if self._heads else None
        stopper = asyncio.create_task(stop.wait())
        stopper.add_done_callback(lambda _: self._woken.set())
        try:
            await self._loop(stop)
        finally:
            for task in (watch, stopper):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

    async def catch_up(self) -> None:
        """Handle everything up to the confirmed head, once. Any ChainError and the handler's errors pass through;
        UnknownBlockError when the chain keeps changing, or its node keeps contradicting itself, between reads."""
        contradictions, more = 0, True
        while more:
            try:
                more = await self._advance()
                contradictions = 0
            except UnknownBlockError:
                contradictions += 1
                if contradictions == _MOST_CONTRADICTIONS:
                    raise
        self.last_answer_at = time.monotonic()

    async def _loop(self, stop: asyncio.Event) -> None:
        retry_seconds = pause_seconds = self._poll_seconds
        healthy = True
        while not stop.is_set():
            self._woken.clear()
            try:
                if not healthy:
                    await self._client.check()
                await self.catch_up()
                healthy, retry_seconds, pause_seconds = True, 0.1, self._poll_seconds
            except CursorMovedError:
                pause_seconds = 0.05
            except Exception as problem:
                self._report(problem, healthy)
                healthy, pause_seconds = False, retry_seconds
                retry_seconds = min(retry_seconds * 2, _LAST_RETRY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._woken.wait()

    def _report(self, problem: Exception, first: bool) -> None:
        if not isinstance(problem, ChainError):
            _log.exception("follower_failed")
        elif first:
            _log.warning("follower_waits", problem=str(problem))

    async def _advance(self) -> bool:
        """Do one step and say whether there may be more."""
        trail = await self._store.trail()
        cursor = trail[0] if trail else None
        head = await self._client.head()
        self._see(head)
        if cursor is not None and await self._is_replaced(cursor, head, trail):
            await self._rewind(cursor, trail)
            return True
        target = head.number - self._confirmations + 1
        first = self._client.contracts.start_block if cursor is None else cursor.number + 1
        if first > target:
            self.confirmed = cursor
            return False
        for step in await self._read(first, target, head, cursor):
            await self._hand_on(cursor, step)
            cursor = self.confirmed = step.block.ref
        return True

    def _see(self, head: Block) -> None:
        if self.seen is None or self.seen.hash != head.hash:
            self.seen, self.last_head_at = head, time.monotonic()
            if self._heads:
                self._heads.found_head()

    async def _is_replaced(self, cursor: BlockRef, head: Block, trail: Sequence[BlockRef]) -> bool:
        """Whether the chain lost the cursor's block. A node that merely lags behind the cursor lost nothing, unless
        its head contradicts the trail."""
        if head.number == cursor.number + 1:
            return head.parent_hash != cursor.hash
        if head.number == cursor.number:
            return head.hash != cursor.hash
        known = next((one for one in trail if one.number <= head.number), None)
        if known is None:
            return False
        found = await self._client.block(known.number)
        return found is not None and found.hash != known.hash

    async def _rewind(self, cursor: BlockRef, trail: Sequence[BlockRef]) -> None:
        found = await self._client.blocks([one.number for one in trail])
        kept = (
            known
            for known, now in zip(trail, found, strict=True)
            if now is not None and now.hash == known.hash
        )
        ancestor = next(kept, None)
        removed = trail if ancestor is None else trail[: trail.index(ancestor)]
        _log.warning(
            "chain_reorganised", removed=len(removed), ancestor=ancestor.number if ancestor else None
        )
        async with self._store.begin() as transaction:
            await self._handler.undo(transaction, removed, ancestor)
            await transaction.rewind(cursor, ancestor)

    async def _read(self, first: int, target: int, head: Block, cursor: BlockRef | None) -> list[_Step]:
        """Return the blocks with events from `first` on and the range's end; UnknownBlockError when the chain changed
        meanwhile."""
        if first == target:
            block = head if head.number == target else await self._known(target)
            if cursor is not None and block.parent_hash != cursor.hash:
                raise UnknownBlockError(cursor.hash)
            return [_Step(block, await self._client.events_of(block))]
        events, last = await self._events_from(first, target)
        return await self._located(events, last, head)

    async def _events_from(self, first: int, target: int) -> tuple[tuple[Event, ...], int]:
        """Return the events from `first` to the height returned, asking for half as much whenever the node finds the
        range too large."""
        while True:
            last = min(target, first + self._range_blocks - 1)
            try:
                events = await self._client.events_between(first, last)
            except RpcError as problem:
                if first == last:
                    raise
                self._range_blocks = (last - first + 1) // 2
                _log.info("log_range_halved", blocks=self._range_blocks, problem=problem.message)
            else:
                self._range_blocks = min(self._range_blocks * 9 // 8 + 1, self._most_range_blocks)
                return events, last

    async def _located(self, events: Sequence[Event], last: int, head: Block) -> list[_Step]:
        """Group a range's events by block. The head that was known before the logs were read is asked for again
        after them: when it still stands, no reorganisation came between."""
        grouped = groupby(events, key=lambda one: one.position.block_number)
        groups = {number: tuple(group) for number, group in grouped}
        heights = sorted({*groups, last})
        *found, head_now = await self._client.blocks([*heights, head.number])
        if head_now is None or head_now.hash != head.hash:
            raise UnknownBlockError(head.hash)
        steps = []
        for height, block in zip(heights, found, strict=True):
            group = groups.get(height, ())
            if block is None or any(one.position.block_hash != block.hash for one in group):
                raise UnknownBlockError(height)
            steps.append(_Step(block, group))
        return steps

    async def _known(self, number: int) -> Block:
        block = await self._client.block(number)
        if block is None:
            raise UnknownBlockError(number)
        return block

    async def _hand_on(self, cursor: BlockRef | None, step: _Step) -> None:
        async with self._store.begin() as transaction:
            if step.events:
                await self._handler.apply(transaction, step.block, step.events)
            await transaction.advance(cursor, step.block.ref)
