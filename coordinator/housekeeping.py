"""Housekeeping: takes nodes that left out of the database, and forgets what has expired."""

import asyncio
import time

import structlog

from coordinator.accounts import repository as accounts
from coordinator.context import Context
from coordinator.nodes import repository
from coordinator.scrubbing import is_free, scrub
from coordinator.wakeups import Topic
from soterone.domain.ids import Account, Hash32

_log = structlog.get_logger()
_LOOK_SECONDS = 1.0
_EXPIRY_SECONDS = 60.0


class Housekeeper:
    """One loop; it may run anywhere, and twice does no harm."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._unpurged = False
        self._expired_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Look at each wake-up and every second until stopped."""
        with self._context.wakeups.listen(Topic.NODES, Topic.CHAIN, Topic.SCRUBBED) as bell:
            while not stop.is_set():
                try:
                    await self.look()
                except Exception:
                    _log.exception("housekeeping_failed")
                await bell.wait(_LOOK_SECONDS)

    async def look(self) -> None:
        """Scrub who left and is free, purge the file after that, delete what expired."""
        async with self._context.database.reading() as session:
            gone = [Account(node.account) for node in await repository.gone(session)]
        for account in gone:
            self._unpurged |= await self._scrub(account)
        if self._unpurged:
            self._unpurged = not await self._context.database.purge()
        if time.monotonic() - self._expired_at > _EXPIRY_SECONDS:
            self._expired_at = time.monotonic()
            async with self._context.database.transaction() as session:
                await accounts.delete_expired(session)

    async def _scrub(self, account: Account) -> bool:
        depth = self._context.limits.final_depth_blocks
        async with self._context.database.transaction() as session:
            node = await repository.get(session, account, lock=True)
            if node is None or not await is_free(session, account, depth):
                return False
            hashes = (Hash32(node.tls_key_hash), Hash32(node.profile_hash))
            await repository.delete(session, account)
            await accounts.revoke_tokens(session, account)
            await scrub(session, account, hashes)
        _log.info("node_scrubbed")
        return True
