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

    async def tell(
        self,
        epoch: int,
        panels: Mapping[Account, Panel],
        appeals: Sequence[Appeal],
        reach: Mapping[Account, Reach],
    ) -> None:
        """Exchange votes on nodes and on appeals, all of one epoch, with the panels; one line a member."""
        members = {one for panel in panels.values() for one in panel}
        members |= {one for appeal in appeals for one in appeal.panel}
        await asyncio.gather(
            *(
                self._with(
                    reach[member],
                    epoch,
                    [node for node, panel in panels.items() if member in panel],
                    [appeal for appeal in appeals if member in appeal.panel],
                )
                for member in sorted(members - {self._parts.own})
                if member in reach
            )
        )

    async def _with(
        self, member: Reach, epoch: int, nodes: Sequence[Account], appeals: Sequence[Appeal]
    ) -> None:
        async with NodeLine(member, self._parts.tls) as line:
            votes = (self._votes(line, epoch, node) for node in nodes)
            reversals = (self._reversal(line, appeal) for appeal in appeals)
            await asyncio.gather(*votes, *reversals)

    async def _votes(self, line: NodeLine, epoch: int, node: Account) -> None:
        polling, still_open = self._parts.polling, self._still_open(epoch)
        try:
            told = await line.exchange(polling.told(epoch, node))
            if (told.node, told.epoch) == (bytes.fromhex(node[2:]), epoch):
                polling.take(line.node.account, told, still_open=still_open)
        except (grpc.aio.AioRpcError, MalformedError) as error:
            _pass_over(line, error)

    async def _reversal(self, line: NodeLine, appeal: Appeal) -> None:
        hearings, still_open = self._parts.hearings, self._still_open(appeal.epoch)
        try:
            told = await line.exchange_reversals(hearings.told(appeal))
            if (told.claim_id, told.epoch) == (hash_bytes(appeal.claim_id), appeal.epoch):
                hearings.take(appeal, line.node.account, told, still_open=still_open)
        except (grpc.aio.AioRpcError, MalformedError) as error:
            _pass_over(line, error)

    def _still_open(self, epoch: int) -> bool:
        return self._parts.schedule(epoch).end > self._parts.clock.now()


def _pass_over(line: NodeLine, error: Exception) -> None:
    log.info("votes not exchanged", member=line.node.account, reason=str(error)[:200])
