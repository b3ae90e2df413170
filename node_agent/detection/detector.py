"""The detector's loop: follows the quorum's epochs, and lets judging, upholding and reversing go on side by side."""

import asyncio
from collections.abc import Coroutine

import grpc.aio
import structlog

from node_agent.detection.judging import Judging
from node_agent.detection.parts import DetectorParts
from node_agent.detection.reversing import Reversing
from node_agent.detection.telling import Telling
from node_agent.detection.upholding import Upholding
from soterone.chain.errors import ChainError

log = structlog.get_logger()


class Detector:
    """One detector. An error in an epoch ends that epoch's work and no other's."""

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
                    task = asyncio.create_task(self._guarded(work(epoch), epoch))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                await self._until_or(stop, self._parts.schedule(epoch).end)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _guarded(self, work: Coroutine[None, None, None], epoch: int) -> None:
        try:
            await work
        except (ChainError, grpc.aio.AioRpcError) as error:
            log.warning("detection broke off", epoch=epoch, reason=str(error)[:300])
        except Exception:
            log.exception("detection failed", epoch=epoch)

    async def _until_or(self, stop: asyncio.Event, moment: float) -> None:
        """Return at a moment, or when it is time to stop."""
        waiting = [asyncio.create_task(one) for one in (self._parts.clock.until(moment), stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
