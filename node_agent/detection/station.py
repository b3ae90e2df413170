"""Puts an agent's part in detection together: what it answers to detectors, and its own work as one."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

import soterone
from node_agent.detection.appeals import Appeals
from node_agent.detection.clock import WallClock
from node_agent.detection.desk import Desk, OwnStanding
from node_agent.detection.detector import Detector
from node_agent.detection.draws import Draws
from node_agent.detection.hearings import Hearings
from node_agent.detection.openings import Openings
from node_agent.detection.parts import DetectorParts
from node_agent.detection.paying import Payer
from node_agent.detection.polling import Polling
from node_agent.detection.reach import load_in_heartbeats
from node_agent.detection.rounds import Rounds
from node_agent.detection.schedule import Schedule
from node_agent.peers.detection import DetectionCalls
from node_agent.sessions.backoff import Backoff
from soterone.chain.direct_sender import DirectSender
from soterone.chain.errors import ChainError
from soterone.chain.quorum import Quorum
from soterone.crypto.accounts import account
from soterone.domain.ids import QueryId
from soterone.domain.roles import Role, pack_version
from soterone.rpc.generated.coordinator_pb2 import DatasetCommitment

if TYPE_CHECKING:
    from node_agent.agent import AgentParts

log = structlog.get_logger()

_LISTENING_SECONDS = 15.0
"""A detector that heard nothing from the coordinator for so long may be cut off itself."""


@dataclass(slots=True)
class Detection:
    """`calls` answer on the peer channel; a network without a quorum has none. `desk` is closed after the server."""

    parts: "AgentParts"
    calls: DetectionCalls
    desk: Desk | None
    draws: Draws | None
    appeals: Appeals | None

    @classmethod
    def of(cls, parts: "AgentParts", computing: Callable[[], Sequence[QueryId]]) -> "Detection":
        """Make the part of an agent whose queries are told by `computing`."""
        quorum = Quorum(parts.chain)
        if not quorum.is_deployed:
            return cls(parts, DetectionCalls(), None, None, None)
        draws = Draws(quorum)
        appeals = Appeals(quorum, draws)
        desk = Desk(_standing(parts, computing), draws, appeals)
        openings = Openings(parts.identity.account, draws, appeals, parts.store.ballots, parts.folder.appeals)
        calls = DetectionCalls(parts.directory, desk, openings=openings)
        return cls(parts, calls, desk, draws, appeals)

    async def run(self, stop: asyncio.Event) -> None:
        """Work as a detector until `stop`, where this node is one."""
        if not self.parts.settings.roles & Role.DETECTOR:
            return
        if self.draws is None or self.appeals is None:
            log.warning("no detector here", reason="the network has no detectors' quorum")
            return
        waits = Backoff(first_seconds=1.0, longest_seconds=60.0).waits()
        while not stop.is_set():
            try:
                epoch_seconds = await Quorum(self.parts.chain).epoch_seconds()
                break
            except ChainError as error:
                log.warning("detector waits for the chain", reason=str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(next(waits)):
                        await stop.wait()
        else:
            return
        await self._detector(self.draws, self.appeals, epoch_seconds).run(stop)

    async def close(self) -> None:
        """Wait until nothing computes for detectors any more."""
        if self.desk is not None:
            await self.desk.close()

    def _detector(self, draws: Draws, appeals: Appeals, epoch_seconds: int) -> Detector:
        parts, clock = self.parts, WallClock()

        def may_show(epoch: int) -> bool:
            return clock.now() >= Schedule(epoch + 1, epoch_seconds).reveals.start

        polling = Polling(
            parts.identity.signer,
            Quorum(parts.chain).domain,
            parts.store.ballots,
            draws,
            lambda node: key.operator if (key := parts.store.node_keys.latest(node)) else None,
            may_show,
        )
        hearings = Hearings(
            signer=parts.identity.signer,
            tls=parts.identity.tls,
            quorum=Quorum(parts.chain).domain,
            registry=parts.network.domain("NodeRegistry"),
            chain=parts.chain,
            panels=draws,
            appeals=appeals,
            table=parts.store.ballots,
            epoch_seconds=epoch_seconds,
            may_show=may_show,
        )
        self.calls.votes, self.calls.reversals = polling, hearings
        rounds = Rounds(
            parts.identity.tls,
            parts.chain,
            parts.network.domain("NodeRegistry"),
            parts.store.findings,
            lambda: time.monotonic() - parts.link.last_contact < _LISTENING_SECONDS,
            partial(load_in_heartbeats, parts.link.agents),
        )
        return Detector(
            DetectorParts(
                own=parts.identity.account,
                tls=parts.identity.tls,
                coordinator=parts.link.agents,
                chain=parts.chain,
                quorum=Quorum(parts.chain),
                store=parts.store,
                rounds=rounds,
                polling=polling,
                hearings=hearings,
                draws=draws,
                payer=Payer(
                    parts.identity.account,
                    parts.chain,
                    DirectSender(parts.chain, parts.identity.signer),
                    parts.link.agents,
                ),
                epoch_seconds=epoch_seconds,
                clock=clock,
            )
        )


def _standing(parts: "AgentParts", computing: Callable[[], Sequence[QueryId]]) -> OwnStanding:
    def datasets() -> list[DatasetCommitment]:
        return [
            DatasetCommitment(
                dataset_id=one.id,
                root=bytes.fromhex(bound.root[2:]),
                signature=bytes.fromhex(bound.signature[2:]),
            )
            for one in parts.store.datasets.all()
            if one.published and (bound := one.metadata.commitment) is not None
        ]

    return OwnStanding(
        account=parts.identity.account,
        operator=account(parts.settings.operator),
        version=pack_version(soterone.__version__),
        profile=parts.profile,
        snapshot=parts.snapshots.latest,
        computing=computing,
        datasets=datasets,
    )
