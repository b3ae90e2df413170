"""Who of several senders of one account works: the holder of a lease in their outbox; the others stand by."""

import secrets
import time

import structlog

from soterone.chain.outbox import Outbox
from soterone.domain.ids import Account

_log = structlog.get_logger(__name__)


class SenderLease:
    """One sender's side of the lease. It keeps two senders from hindering each other; what makes them harmless are the
    nonces and the outbox's comparisons, which hold also when a lease runs out unnoticed."""

    def __init__(self, outbox: Outbox, account: Account, seconds: float) -> None:
        self._outbox, self._account, self._seconds = outbox, account, seconds
        self._holder = secrets.token_hex(8)
        self._renewed_at: float | None = None
        self._said_standing_by = False

    async def held(self) -> bool:
        """Take or keep the lease; False while another sender has it. Renews it after a third of its time."""
        now = time.monotonic()
        if self._renewed_at is not None and now - self._renewed_at < self._seconds / 3:
            return True
        if await self._outbox.lease(self._account, self._holder, self._seconds):
            if self._renewed_at is None:
                _log.info("sender_leads", account=self._account)
            self._renewed_at, self._said_standing_by = now, False
            return True
        self._renewed_at = None
        if not self._said_standing_by:
            _log.info("sender_stands_by", account=self._account)
            self._said_standing_by = True
        return False

    async def release(self) -> None:
        """Let another sender take over at once."""
        if self._renewed_at is not None:
            self._renewed_at = None
            await self._outbox.release(self._account, self._holder)
