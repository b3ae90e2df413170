"""Makes heartbeats durable in batches; each waits until its batch is committed, and only then is acknowledged.

A stream has one heartbeat waiting here at most, so memory is bounded by the number of streams.
"""

import asyncio
import secrets
import time
from collections.abc import Collection

import structlog

from coordinator import liveness
from coordinator.context import Context
from coordinator.liveness import Beat

_log = structlog.get_logger()


class HeartbeatWriter:
    """One loop a process. It also holds the listening lease, which says that somebody listens.

    The lease is renewed by the transactions of the heartbeats: a service that cannot write holds none, nor does
    one that is cut off from the nodes.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._service = f"rpc-{secrets.token_hex(6)}"
        self._pending: dict[asyncio.Future[None], Beat] = {}
        self._renewed = 0.0
        self._heard: dict[str, float] = {}

    async def keep(self, beat: Beat) -> None:
        """Return once the heartbeat is durable. Whoever stops waiting before takes it back."""
        durable = asyncio.get_running_loop().create_future()
        self._pending[durable] = beat
        await durable

    async def run(self, stop: asyncio.Event) -> None:
        """Write a batch every `heartbeat_batch_seconds` until stopped; a failed batch is tried again."""
        pause = self._context.settings.heartbeat_batch_seconds
        while not stop.is_set():
            try:
                await self.flush()
            except Exception:
                _log.exception("heartbeat_batch_failed")
            await asyncio.sleep(pause)

    async def flush(self) -> None:
        """Write what is pending, renew the lease when due, then let the streams acknowledge."""
        started = time.monotonic()
        renew = started - self._renewed >= liveness.LEASE_RENEWAL_SECONDS
        batch, self._pending = _awaited(self._pending), {}
        self._heard |= dict.fromkeys((beat.account for beat in batch.values()), started)
        if not batch and (not renew or self._is_cut_off(started)):
            return
        try:
            await self._write(batch.values(), renew)
        except BaseException:
            self._pending |= batch
            raise
        if renew:
            self._renewed = started
        for durable in batch:
            if not durable.done():
                durable.set_result(None)
        self._context.metrics.heartbeats.inc(len(batch))
        self._context.metrics.heartbeat_batch_seconds.observe(time.monotonic() - started)

    def _is_cut_off(self, now: float) -> bool:
        settings = self._context.settings
        return liveness.is_cut_off(
            self._heard.values(), now, settings.heartbeat_interval_seconds, settings.patience_seconds
        )

    async def _write(self, beats: Collection[Beat], renew: bool) -> None:
        patience = self._context.settings.patience_seconds
        async with self._context.database.transaction() as session:
            if renew and await liveness.listen(session, self._service, patience):
                _log.info("listening_again", service=self._service)
            await liveness.write_beats(session, beats, patience)


def _awaited(pending: dict[asyncio.Future[None], Beat]) -> dict[asyncio.Future[None], Beat]:
    return {durable: beat for durable, beat in pending.items() if not durable.done()}
