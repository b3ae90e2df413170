"""What a detector does in the epoch of its votes: opens it if nobody did, probes whom it judges, votes and commits."""

import asyncio
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence

import structlog

from node_agent.detection.appeals import MEASURED_AGAIN, Appeal
from node_agent.detection.findings import suspicions
from node_agent.detection.parts import DetectorParts, Panel
from node_agent.detection.polling import Judgement
from node_agent.detection.reach import Reach
from node_agent.detection.reversing import Reversing
from node_agent.detection.schedule import Schedule
from node_agent.detection.telling import Telling
from node_agent.detection.verdict import ROUNDS
from node_agent.store.node_keys import NodeKey
from soterone.chain.records import NodeStatus
from soterone.domain.detection import (
    NO_HASH,
    Accusation,
    ClaimStatus,
    Evidence,
    Kind,
    Verdict,
    commitment_to,
    leaves_of,
)
from soterone.domain.ids import Account
from soterone.domain.panels import Bench
from soterone.domain.reputation import Severity

log = structlog.get_logger()

_KEPT_EPOCHS = 48
_DECIDED_EPOCHS = 4
"""A vote's claim follows in the next epoch; an appeal after the last that may contest it is decided in two more.
Terms may have been others then: votes that accuse are kept for twice the time in which they may be needed."""

_OPENING_SHARE = 0.05
"""Who opens an epoch is drawn by waiting: nobody waits longer than this part of it."""


class Judging:
    """One detector's votes, on nodes and on appeals."""

    def __init__(self, parts: DetectorParts, telling: Telling, reversing: Reversing) -> None:
        self._parts, self._telling, self._reversing = parts, telling, reversing

    async def judge(self, epoch: int) -> None:
        """Probe every node that this detector was drawn for, twice; vote, and commit to the votes."""
        times = self._parts.schedule(epoch)
        bench = await self._opened(times)
        if bench is None:
            return
        panels = {key.account: panel for key, panel in self._panels_with_us(bench)}
        log.info("drawn", epoch=epoch, nodes=len(panels))
        appeals = await self._parts.hearings.due(epoch)
        if not panels and not appeals:
            return
        self._forget(epoch, bench)
        members = {one for panel in panels.values() for one in panel} | _concerned(appeals)
        reach = await self._parts.reach({*panels, *members})
        probed = {*panels, *(one.node for one in appeals if one.claim.accusation.kind in MEASURED_AGAIN)}
        await self._play(times, [reach[node] for node in sorted(probed) if node in reach])
        hearings, seen = self._parts.hearings, self._parts.rounds.seen
        await asyncio.gather(*(hearings.vote(one, seen(epoch, one.node), reach) for one in appeals))
        await self._parts.clock.until(times.votes.start)
        for node in panels:
            self._parts.polling.cast(epoch, node, await self._judgements(epoch, node, bench))
        await self._tell(times, panels, appeals, reach)
        for appeal in appeals:
            await self._reversing.commit(times, appeal)
        for node, panel in panels.items():
            for kind in self._parts.polling.accused(epoch, node):
                await self._commit(times, node, panel, kind, bench.terms.threshold)

    async def _opened(self, times: Schedule) -> Bench | None:
        """Return what the epoch's panels follow from; open and seed it when nobody else does."""
        parts = self._parts
        if not await parts.quorum.has_panels():
            log.info("too few detectors for a panel", epoch=times.epoch)
            return None
        share = parts.epoch_seconds * _OPENING_SHARE
        await parts.pause(random.uniform(0, share))  # noqa: S311 - only to let one go first
        while parts.clock.now() < times.commitments.start:
            if (bench := await parts.draws.bench(times.epoch)) is not None:
                return bench
            if await parts.quorum.is_open(times.epoch):
                await parts.send(parts.calls.seed_epoch(times.epoch))
            else:
                await parts.send(parts.calls.open_epoch())
            await parts.pause(parts.tick_seconds * random.uniform(0.5, 1))  # noqa: S311
        return None

    def _panels_with_us(self, bench: Bench) -> Iterator[tuple[NodeKey, Panel]]:
        for key in self._parts.store.node_keys.active():
            panel = bench.panel_on(key.account, key.operator)
            if self._parts.own in panel:
                yield key, panel

    async def _play(self, times: Schedule, nodes: Sequence[Reach]) -> None:
        keys = {key.account: key for key in self._parts.store.node_keys.active()}
        probed = [(one, keys[one.account].version) for one in nodes if one.account in keys]
        for number in range(ROUNDS):
            window = times.round(number)
            moment = window.within(random.uniform(0, 0.1))  # noqa: S311 - not at a fixed time
            await self._parts.clock.until(moment)
            await self._parts.rounds.play(times.epoch, number, window, probed)

    async def _judgements(self, epoch: int, node: Account, bench: Bench) -> list[Judgement]:
        seen = self._parts.rounds.seen(epoch, node)
        if seen is None:
            return []
        record = await self._parts.chain.node_of(node)
        found = []
        for one in suspicions(seen, serves=record.status is NodeStatus.ACTIVE):
            severity = bench.terms.highest_severity(one.kind)
            if not severity:
                continue
            accusation = Accusation(node, record.operator, epoch, one.kind, Severity(severity))
            evidence = Evidence(
                detector=self._parts.own,
                node=node,
                epoch=epoch,
                kind=one.kind,
                findings=seen.document(),
                salt=secrets.token_hex(32),
            )
            found.append(Judgement(Verdict(accusation, evidence.hash, one.measured), evidence))
            log.warning("node accused", node=node, epoch=epoch, kind=one.kind.name, reason=one.sentence)
        return found

    async def _tell(
        self,
        times: Schedule,
        panels: Mapping[Account, Panel],
        appeals: Sequence[Appeal],
        reach: Mapping[Account, Reach],
    ) -> None:
        for moment in (times.votes.start, times.votes.within(0.5), times.votes.end):
            await self._parts.clock.until(moment)
            await self._telling.tell(times.epoch, panels, appeals, reach)

    async def _commit(self, times: Schedule, node: Account, panel: Panel, kind: Kind, threshold: int) -> None:
        """Put the panel's hashes on record, unless another member has by then; each has a turn of its own."""
        parts = self._parts
        await parts.clock.until(times.commitments.within(panel.index(parts.own) / (2 * len(panel))))
        hashes = parts.polling.hashes(times.epoch, node, kind)
        if len(hashes) < threshold:
            log.info("too few members told their hashes", node=node, known=len(hashes), needed=threshold)
            return
        accusation, _ = parts.polling.votes(times.epoch, node, kind)
        listed = [hashes.get(member, NO_HASH) for member in panel]
        commitment = commitment_to(accusation.subject, leaves_of(panel, listed))
        if (await parts.quorum.claim_of(commitment)).status is ClaimStatus.NONE:
            await parts.send(parts.calls.commit_votes(node, listed))

    def _forget(self, epoch: int, bench: Bench) -> None:
        first, window = epoch - _KEPT_EPOCHS, bench.terms.appeal_epochs
        self._parts.store.findings.prune(first)
        self._parts.store.ballots.prune(first, min(first, epoch - 2 * window - _DECIDED_EPOCHS))


def _concerned(appeals: Sequence[Appeal]) -> set[Account]:
    """Whom a detector speaks with about appeals."""
    return {one for appeal in appeals for one in (appeal.node, *appeal.accusers, *appeal.panel)}
