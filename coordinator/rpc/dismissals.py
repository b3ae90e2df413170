"""Ends the streams of nodes that may not take part any more: suspended, leaving or gone."""

import asyncio

import structlog

from coordinator.context import Context
from coordinator.nodes import repository as nodes
from coordinator.nodes.errors import NotActive
from coordinator.rpc.streams import Streams
from coordinator.wakeups import Topic
from soterone.domain.ids import Account

_log = structlog.get_logger()
_LOOK_SECONDS = 2.0
_NODES_A_LOOK = 5000


class Dismissals:
    """One loop a process. It only shortens a farewell: every call of such a node is refused anyway."""

    def __init__(self, context: Context, streams: Streams) -> None:
        self._context = context
        self._streams = streams

    async def run(self, stop: asyncio.Event) -> None:
        """Look when nodes change, and every two seconds, until stopped."""
        with self._context.wakeups.listen(Topic.NODES) as bell:
            while not stop.is_set():
                try:
                    await self.look()
                except Exception:
                    _log.exception("dismissals_failed")
                await bell.wait(_LOOK_SECONDS)

    async def look(self) -> None:
        """End the streams of nodes that are not active."""
        accounts = self._streams.accounts()
        for start in range(0, len(accounts), _NODES_A_LOOK):
            async with self._context.database.reading() as session:
                some = accounts[start : start + _NODES_A_LOOK]
                inactive = await nodes.inactive_among(session, some)
            for account in inactive:
                if stream := self._streams.of(Account(account)):
                    stream.end(NotActive(account, "not active any more"))
