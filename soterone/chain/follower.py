"""Follows the contracts' events from a saved (number, hash) cursor through reorganisations, restarts and lost sockets.

It reads the chain's answers alone; a WebSocket, when there is one, only tells it when to look.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import structlog

from soterone.chain.block_reader import BlockEvents, BlockReader
from soterone.chain.client import ChainClient
from soterone.chain.cursor import CursorStore, CursorTransaction, Handler
from soterone.chain.damaged_logs import PATIENCE_SECONDS, Patience
from soterone.chain.errors import ChainError, CursorMovedError, UnknownBlockError
from soterone.chain.head_watch import HeadWatch
from soterone.chain.records import Block, BlockRef

_log = structlog.get_logger(__name__)
_LAST_RETRY_SECONDS = 5.0
_MOST_CONTRADICTIONS = 20
_EVENTS_AT_ONCE = 100
_STILL_SECONDS = 60.0

TransactionT = TypeVar("TransactionT", bound=CursorTransaction)


class Follower(Generic[TransactionT]):
    """Hands every confirmed event to the handler once, in order, in the transaction that moves the cursor.

    A block is *seen* when it is the head and *confirmed* when `confirmations` blocks, itself included, are mined: 1
    means mined. Whatever a reorganisation removes below that is undone first. One follower a cursor does the work;
    a second one loses the compare-and-set and merely repeats reads. A log that is no event is asked for again for
    `damaged_log_seconds` before the follower goes on without it.
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
        near_blocks: int = 1_024,
        damaged_log_seconds: float = PATIENCE_SECONDS,
        ws_url: str | None = None,
    ) -> None:
        if confirmations < 1:
            raise ValueError("confirmations must be at least 1: a block that is mined has one")
        self._client, self._store, self._handler = client, store, handler
        self._confirmations, self._poll_seconds = confirmations, poll_seconds
        self._reader = BlockReader(
            client, Patience(damaged_log_seconds), range_blocks=range_blocks, near_blocks=near_blocks
        )
        self._woken = asyncio.Event()
        self._heads = HeadWatch(ws_url, self.wake) if ws_url else None
        self._said_still = False
        self.seen: Block | None = None
        self.confirmed: BlockRef | None = None
        self.last_head_at: float | None = None
        self.last_answer_at: float | None = None

    @property
    def head_age_seconds(self) -> float | None:
        """Seconds since the head last changed, by this machine's clock; None before the first. On a chain that mines on
        demand alone it grows without harm."""
        return None if self.last_head_at is None else time.monotonic() - self.last_head_at

    @property
    def answer_age_seconds(self) -> float | None:
        """Seconds since everything up to the confirmed head was handled; None before the first time."""
        return None if self.last_answer_at is None else time.monotonic() - self.last_answer_at

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
        for batch in _batches(await self._reader.read(first, target, head, cursor)):
            await self._hand_on(cursor, batch)
            cursor = self.confirmed = batch[-1].block.ref
        return True

    def _see(self, head: Block) -> None:
        if self.seen is None or self.seen.hash != head.hash:
            self.seen, self.last_head_at, self._said_still = head, time.monotonic(), False
            if self._heads:
                self._heads.found_head()
        elif (self.head_age_seconds or 0.0) > _STILL_SECONDS and not self._said_still:
            self._said_still = True
            _log.warning("head_stands_still", block=head.number, seconds=round(self.head_age_seconds or 0.0))

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
        """Undo what the chain lost; ContractMissingError when that includes the contracts: it is another chain."""
        await self._client.check()
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

    async def _hand_on(self, cursor: BlockRef | None, read: Sequence[BlockEvents]) -> None:
        """Hand blocks on and move the cursor over them, in one transaction."""
        async with self._store.begin() as transaction:
            for one in read:
                if one.events:
                    await self._handler.apply(transaction, one.block, one.events)
            await transaction.advance(cursor, *(one.block.ref for one in read))


def _batches(read: Sequence[BlockEvents]) -> Iterator[list[BlockEvents]]:
    """Split what was read so that no transaction holds the store for long; a block is never divided."""
    batch: list[BlockEvents] = []
    for one in read:
        if batch and sum(len(earlier.events) for earlier in batch) + len(one.events) > _EVENTS_AT_ONCE:
            yield batch
            batch = []
        batch.append(one)
    yield batch
