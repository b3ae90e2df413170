"""Makes heartbeats durable in batches and acknowledges each stream only after the commit.

Between two batches only the newest heartbeat of a node is kept, so memory is bounded by the number of nodes.
"""

import asyncio
import secrets
import time

import structlog

from coordinator import liveness
from coordinator.context import Context
from coordinator.liveness import Beat
from coordinator.rpc.streams import AgentStream
from soterone.domain.ids import Account

_log = structlog.get_logger()


class HeartbeatWriter:
    """One loop a process. It also holds the listening lease, which says that somebody listens."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._service = f"rpc-{secrets.token_hex(6)}"
        self._pending: dict[Account, tuple[AgentStream, int, Beat]] = {}
        self._renewed = 0.0

    def add(self, stream: AgentStream, sequence: int, beat: Beat) -> None:
        """Take a heartbeat for the next batch; it replaces an older one of the node."""
        self._pending[stream.account] = (stream, sequence, beat)

    async def run(self, stop: asyncio.Event) -> None:
        """Write a batch every `heartbeat_batch_seconds` until stopped; a failed batch is tried again."""
        pause = self._context.settings.heartbeat_batch_seconds
        while not stop.is_set():
            try:
                await self.flush()
            except Exception:
                _log.exception("heartbeat_batch_failed")
                await asyncio.sleep(pause)
            await asyncio.sleep(pause)

    async def flush(self) -> None:
        """Write what is pending, renew the lease when due, then acknowledge."""
        started = time.monotonic()
        renew = started - self._renewed >= liveness.LEASE_RENEWAL_SECONDS
        batch, self._pending = self._pending, {}
        if not batch and not renew:
            return
        try:
            await self._write([beat for _, _, beat in batch.values()], renew)
        except BaseException:
            self._pending = batch | self._pending
            raise
        if renew:
            self._renewed = started
        for stream, sequence, _ in batch.values():
            stream.acknowledge(sequence)
        self._context.metrics.heartbeats.inc(len(batch))
        self._context.metrics.heartbeat_batch_seconds.observe(time.monotonic() - started)

    async def _write(self, beats: list[Beat], renew: bool) -> None:
        patience = self._context.settings.patience_seconds
        async with self._context.database.transaction() as session:
            if renew and await liveness.listen(session, self._service, patience):
                _log.info("listening_again", service=self._service)
            await liveness.write_beats(session, beats, patience)
