"""The way back of a node that detectors suspended: it asks for it itself once its time is over, as only it gains."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import grpc.aio
import structlog

from node_agent.detection.paying import Payer
from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError
from soterone.chain.quorum import Quorum, QuorumCalls
from soterone.domain.ids import Account

log = structlog.get_logger()

LOOK_SECONDS: Final = 5.0


class Readmission:
    """Looks after one node; `suspended` says whether its registration is suspended as far as this agent knows."""

    def __init__(self, own: Account, chain: ChainClient, payer: Payer, suspended: Callable[[], bool]) -> None:
        self._own, self._payer, self._suspended = own, payer, suspended
        self._quorum = Quorum(chain)
        self._calls = QuorumCalls(chain.contracts.addresses)

    async def run(self, stop: asyncio.Event) -> None:
        """Look now and then until `stop`."""
        while not stop.is_set():
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await stop.wait()

    async def look(self) -> None:
        """Send `readmit` when the suspension is over; a failure is logged, and the next look tries again."""
        if not self._suspended() or not self._quorum.is_deployed:
            return
        try:
            suspension = await self._quorum.suspension_of(self._own)
            if suspension.claims and await self._quorum.present_epoch() > suspension.last_epoch:
                await self._payer.send(self._calls.readmit(self._own))
                log.info("readmission asked for", suspended_until_epoch=suspension.last_epoch)
        except (ChainError, grpc.aio.AioRpcError) as error:
            log.warning("not readmitted", reason=str(error)[:300])
