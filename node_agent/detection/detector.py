"""The detector's loop: follows the quorum's epochs, and lets judging, upholding and reversing go on side by side."""

import asyncio
from collections.abc import Callable, Coroutine

import grpc.aio
import structlog

from node_agent.detection.judging import Judging
from node_agent.detection.parts import DetectorParts
from node_agent.detection.reversing import Reversing
from node_agent.detection.telling import Telling
from node_agent.detection.upholding import Upholding
from soterone.chain.errors import ChainError

log = structlog.get_logger()

_LONGEST_PAUSE_SECONDS = 60.0


class Detector:
    """One detector. An error of its own in an epoch ends that epoch's work and no other's."""

    def __init__(self, parts: DetectorParts) -> None:
        self._parts = parts
        telling = Telling(parts)
        reversing = Reversing(parts, telling)
        self.judge = Judging(parts, telling, reversing).judge
        self.uphold = Upholding(parts, telling).uphold
        self.reverse = reversing.reverse

    async def run(self, stop: asyncio.Event) -> None:
        """Judge and uphold until `stop`."""
        tasks: set[asyncio.Task[None]] = set()
        try:
            while not stop.is_set():
                epoch = int(self._parts.clock.now()) // self._parts.epoch_seconds
                for work in (self.judge, self.uphold, self.reverse):
                    task = asyncio.create_task(self._persistently(work, epoch))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                await self._until_or(stop, self._parts.schedule(epoch).end)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _persistently(self, work: Callable[[int], Coroutine[None, None, None]], epoch: int) -> None:
        """Do an epoch's work; when chain or coordinator fail, begin again while the epoch lasts: what is done stays."""
        pause_seconds = self._parts.tick_seconds
        while self._parts.clock.now() < self._parts.schedule(epoch).end:
            try:
                return await work(epoch)
            except (ChainError, grpc.aio.AioRpcError) as error:
                log.warning("detection broke off", epoch=epoch, reason=str(error)[:300])
            except Exception:
                log.exception("detection failed", epoch=epoch)
                return None
            await self._parts.pause(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
        return None

    async def _until_or(self, stop: asyncio.Event, moment: float) -> None:
        """Return at a moment, or when it is time to stop."""
        waiting = [asyncio.create_task(one) for one in (self._parts.clock.until(moment), stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
