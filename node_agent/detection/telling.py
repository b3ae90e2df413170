"""Telling the other members of a panel what may be told, and taking what they tell."""

import asyncio
from collections.abc import Mapping, Sequence

import grpc.aio
import structlog

from node_agent.detection.appeals import Appeal
from node_agent.detection.parts import DetectorParts, Panel
from node_agent.detection.probing import NodeLine
from node_agent.detection.reach import Reach
from node_agent.peers.errors import MalformedError
from soterone.domain.ids import Account, hash_bytes

log = structlog.get_logger()


class Telling:
    """One detector's side of every exchange; a member that cannot be reached, or tells nonsense, is passed over."""

    def __init__(self, parts: DetectorParts) -> None:
        self._parts = parts

    async def votes(
        self, epoch: int, panels: Mapping[Account, Panel], reach: Mapping[Account, Reach]
    ) -> None:
        """Exchange the votes on nodes with the members of their panels."""
        pairs = [
            (node, member)
            for node, panel in panels.items()
            for member in panel
            if member != self._parts.own and member in reach
        ]
        await asyncio.gather(*(self._votes_with(epoch, node, reach[member]) for node, member in pairs))

    async def _votes_with(self, epoch: int, node: Account, member: Reach) -> None:
        polling, still_open = self._parts.polling, self._still_open(epoch)
        try:
            async with NodeLine(member, self._parts.tls) as line:
                told = await line.exchange(polling.told(epoch, node))
            if (told.node, told.epoch) == (bytes.fromhex(node[2:]), epoch):
                polling.take(member.account, told, still_open=still_open)
        except (grpc.aio.AioRpcError, MalformedError) as error:
            log.info("votes not exchanged", member=member.account, reason=str(error)[:200])

    async def reversals(self, appeals: Sequence[Appeal], reach: Mapping[Account, Reach]) -> None:
        """Exchange the votes on appeals with the members of their panels."""
        pairs = [
            (appeal, reach[member])
            for appeal in appeals
            for member in appeal.panel
            if member != self._parts.own and member in reach
        ]
        await asyncio.gather(*(self._reversal_with(*one) for one in pairs))

    async def _reversal_with(self, appeal: Appeal, member: Reach) -> None:
        hearings, still_open = self._parts.hearings, self._still_open(appeal.epoch)
        try:
            async with NodeLine(member, self._parts.tls) as line:
                told = await line.exchange_reversals(hearings.told(appeal))
            if (told.claim_id, told.epoch) == (hash_bytes(appeal.claim_id), appeal.epoch):
                hearings.take(appeal, member.account, told, still_open=still_open)
        except (grpc.aio.AioRpcError, MalformedError) as error:
            log.info("votes not exchanged", member=member.account, reason=str(error)[:200])

    def _still_open(self, epoch: int) -> bool:
        return self._parts.schedule(epoch).end > self._parts.clock.now()
