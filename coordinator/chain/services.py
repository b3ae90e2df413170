"""The follower and the sender as services of the coordinator: each may run alone in a process of its own."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog
from sqlalchemy.exc import SQLAlchemyError

from coordinator.chain import outbox
from coordinator.chain.handler import CoordinatorHandler
from coordinator.chain.sql_cursor import SqlCursorStore, SqlCursorTransaction
from coordinator.chain.sql_outbox import SqlOutbox
from coordinator.context import Context
from coordinator.database_errors import DatabaseAway
from coordinator.wakeups import Topic, Wakeups
from soterone.chain.follower import Follower
from soterone.chain.sender import Sender, SendingPolicy
from soterone.crypto.accounts import Signer

_log = structlog.get_logger()
_LOOK_SECONDS = 5.0


class FollowerService:
    """Follows the contracts' events into the database."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self.follower: Follower[SqlCursorTransaction] = Follower(
            context.chain,
            SqlCursorStore(context.database, context.wakeups),
            CoordinatorHandler(),
            confirmations=settings.confirmations,
            poll_seconds=settings.chain_poll_seconds,
            ws_url=settings.chain_ws,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`."""
        await self.follower.run(stop)


class SenderService:
    """Sends what stands in the outbox from the coordinator's account."""

    def __init__(self, context: Context, signer: Signer, policy: SendingPolicy | None = None) -> None:
        self._context = context
        store = SqlOutbox(context.database, context.wakeups)
        self.sender = Sender(
            context.chain, signer, store, policy or _policy(context.limits.final_depth_blocks)
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`; woken by `Topic.OUTBOX`."""
        async with asyncio.TaskGroup() as tasks:
            waker = tasks.create_task(_wake(self._context.wakeups, self.sender.wake))
            depth = tasks.create_task(self._measure())
            await self.sender.run(stop)
            waker.cancel()
            depth.cancel()

    async def _measure(self) -> None:
        while True:
            try:
                async with self._context.database.reading() as session:
                    depth = await outbox.depth(session)
                for state, count in depth.items():
                    self._context.metrics.outbox_depth.labels(state).set(count)
            except (DatabaseAway, SQLAlchemyError):
                _log.exception("outbox_not_measured")
            await asyncio.sleep(_LOOK_SECONDS)


def _policy(final_depth_blocks: int) -> SendingPolicy:
    """Watch what was mined until nothing that follows from it can be taken back."""
    usual = SendingPolicy()
    return replace(usual, watch_blocks=max(usual.watch_blocks, final_depth_blocks + 1))


async def _wake(wakeups: Wakeups, wake: Callable[[], None]) -> None:
    with wakeups.listen(Topic.OUTBOX) as bell:
        while True:
            if await bell.wait(_LOOK_SECONDS):
                wake()
