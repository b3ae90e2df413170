"""The detector's loop: follows the quorum's epochs, opens them if nobody did, probes whom it judges, votes, and sends
what enough members agree on. It pays for its transactions itself.
"""

import asyncio
import random
import secrets
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc.aio
import structlog

from node_agent.detection.appeals import MEASURED_AGAIN, Appeal
from node_agent.detection.clock import Clock, WallClock
from node_agent.detection.draws import Draws
from node_agent.detection.findings import suspicions
from node_agent.detection.hearings import Hearings
from node_agent.detection.paying import Payer
from node_agent.detection.polling import Judgement, Polling
from node_agent.detection.probing import NodeLine
from node_agent.detection.reach import Reach, reach_of
from node_agent.detection.rounds import Rounds
from node_agent.detection.schedule import Schedule, Window
from node_agent.detection.verdict import ROUNDS
from node_agent.peers.errors import MalformedError
from node_agent.store import Store
from node_agent.store.node_keys import NodeKey
from soterone.chain.ballots import Ballot, reversal_id
from soterone.chain.calls import Call
from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError, RevertedError
from soterone.chain.quorum import Quorum, QuorumCalls
from soterone.chain.records import NodeStatus
from soterone.crypto.certificates import TlsIdentity
from soterone.domain.detection import (
    NO_HASH,
    Accusation,
    ClaimStatus,
    Evidence,
    Kind,
    Verdict,
    commitment_to,
    leaves_of,
    reversal_subject,
)
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.panels import Bench
from soterone.domain.reputation import Severity

if TYPE_CHECKING:
    from soterone.rpc.generated.coordinator_pb2_grpc import AgentsAsyncStub

log = structlog.get_logger()

_KEPT_EPOCHS = 48
_TICKS_AN_EPOCH = 60
_LONGEST_TICK_SECONDS = 5.0
_REVEAL_WAITS = (0.0, 0.1, 0.3, 0.6)
_OPENING_SHARE = 0.05
"""Who opens an epoch is drawn by waiting: nobody waits longer than this part of it."""

Panel = tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class DetectorParts:
    """What the loop works with."""

    own: Account
    tls: TlsIdentity
    coordinator: "AgentsAsyncStub"
    chain: ChainClient
    store: Store
    rounds: Rounds
    polling: Polling
    hearings: Hearings
    draws: Draws
    payer: Payer
    epoch_seconds: int
    clock: Clock = field(default_factory=WallClock)


class Detector:
    """One detector. An error in an epoch ends that epoch's work and no other's."""

    def __init__(self, parts: DetectorParts) -> None:
        self._parts = parts
        self._quorum = Quorum(parts.chain)
        self._calls = QuorumCalls(parts.chain.contracts.addresses)
        self._tick_seconds = min(_LONGEST_TICK_SECONDS, parts.epoch_seconds / _TICKS_AN_EPOCH)

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
                await self._until_or(stop, self._schedule(epoch).end)
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

    # In the epoch of the votes

    async def judge(self, epoch: int) -> None:
        """Probe every node that this detector was drawn for, twice; vote, and commit to the votes."""
        times = self._schedule(epoch)
        bench = await self._opened(times)
        if bench is None:
            return
        panels = {key.account: panel for key, panel in self._panels_with_us(bench)}
        log.info("drawn", epoch=times.epoch, nodes=len(panels))
        appeals = await self._parts.hearings.due(times.epoch)
        if not panels and not appeals:
            return
        self._forget(times.epoch)
        members = {one for panel in panels.values() for one in panel} | _concerned(appeals)
        reach = await self._reach({*panels, *members})
        probed = {*panels, *(one.node for one in appeals if one.claim.accusation.kind in MEASURED_AGAIN)}
        await self._play(times, [reach[node] for node in sorted(probed) if node in reach])
        for appeal in appeals:
            await self._parts.hearings.vote(appeal, self._parts.rounds.seen(times.epoch, appeal.node), reach)
        await self._until(times.votes.start)
        for node in panels:
            self._parts.polling.cast(times.epoch, node, await self._judgements(times.epoch, node, bench))
        for moment in (times.votes.start, times.votes.within(0.5), times.votes.end):
            await self._until(moment)
            await self._exchange(times.epoch, panels, reach)
            await self._exchange_reversals(appeals, reach)
        for appeal in appeals:
            await self._commit_reversal(times, appeal)
        for node, panel in panels.items():
            for kind in self._parts.polling.accused(times.epoch, node):
                await self._commit(times, node, panel, kind, bench.terms.threshold)

    async def _opened(self, times: Schedule) -> Bench | None:
        """Return what the epoch's panels follow from; open and seed it when nobody else does."""
        if not await self._quorum.has_panels():
            log.info("too few detectors for a panel", epoch=times.epoch)
            return None
        share = self._parts.epoch_seconds * _OPENING_SHARE
        await self._pause(random.uniform(0, share))  # noqa: S311 - only to let one go first
        while self._parts.clock.now() < times.commitments.start:
            if (bench := await self._parts.draws.bench(times.epoch)) is not None:
                return bench
            if await self._quorum.is_open(times.epoch):
                await self._send(self._calls.seed_epoch(times.epoch))
            else:
                await self._send(self._calls.open_epoch())
            await self._pause(self._tick_seconds * random.uniform(0.5, 1))  # noqa: S311
        return None

    def _panels_with_us(self, bench: Bench) -> Iterator[tuple[NodeKey, Panel]]:
        for key in self._parts.store.node_keys.active():
            panel = bench.panel_on(key.account, key.operator)
            if self._parts.own in panel:
                yield key, panel

    async def _reach(self, nodes: set[Account]) -> dict[Account, Reach]:
        others = nodes - {self._parts.own}
        found = await reach_of(self._parts.coordinator, self._parts.chain, others)
        return {one.account: one for one in found}

    async def _play(self, times: Schedule, nodes: Sequence[Reach]) -> None:
        keys = {key.account: key for key in self._parts.store.node_keys.active()}
        probed = [(one, keys[one.account].version) for one in nodes if one.account in keys]
        for number in range(ROUNDS):
            window = times.round(number)
            await self._until(window.within(random.uniform(0, 0.1)))  # noqa: S311 - not at a fixed time
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
            accusation = Accusation(
                node, record.operator, record.incarnation, epoch, one.kind, Severity(severity)
            )
            evidence = Evidence(
                detector=self._parts.own,
                node=node,
                incarnation=record.incarnation,
                epoch=epoch,
                kind=one.kind,
                findings=seen.document(),
                salt=secrets.token_hex(32),
            )
            found.append(Judgement(Verdict(accusation, evidence.hash, one.measured), evidence))
            log.warning("node accused", node=node, epoch=epoch, kind=one.kind.name, reason=one.sentence)
        return found

    async def _exchange(self, epoch: int, panels: dict[Account, Panel], reach: dict[Account, Reach]) -> None:
        """Tell the other members of each panel what may be told, and take what they tell."""
        pairs = [
            (node, member)
            for node, panel in panels.items()
            for member in panel
            if member != self._parts.own and member in reach
        ]
        await asyncio.gather(*(self._exchange_with(epoch, node, reach[member]) for node, member in pairs))

    async def _exchange_with(self, epoch: int, node: Account, member: Reach) -> None:
        still_open = self._schedule(epoch).end > self._parts.clock.now()
        try:
            async with NodeLine(member, self._parts.tls) as line:
                told = await line.exchange(self._parts.polling.told(epoch, node))
            if (told.node, told.epoch) == (bytes.fromhex(node[2:]), epoch):
                self._parts.polling.take(member.account, told, still_open=still_open)
        except (grpc.aio.AioRpcError, MalformedError) as error:
            log.info("votes not exchanged", member=member.account, reason=str(error)[:200])

    async def _commit(self, times: Schedule, node: Account, panel: Panel, kind: Kind, threshold: int) -> None:
        """Put the panel's hashes on record, unless another member has by then; each has a turn of its own."""
        await self._until(times.commitments.within(panel.index(self._parts.own) / (2 * len(panel))))
        hashes = self._parts.polling.hashes(times.epoch, node, kind)
        if len(hashes) < threshold:
            log.info("too few members told their hashes", node=node, known=len(hashes), needed=threshold)
            return
        accusation, _ = self._parts.polling.votes(times.epoch, node, kind)
        listed = [hashes.get(member, NO_HASH) for member in panel]
        leaves = leaves_of(panel, listed)
        state = await self._quorum.claim_of(commitment_to(accusation.subject, leaves))
        if state.status is ClaimStatus.NONE:
            await self._send(self._calls.commit_votes(node, listed))

    # In the epoch after it

    async def uphold(self, present: int) -> None:
        """Show the votes of the epoch before the present, and send what enough members agree on."""
        times, epoch = self._schedule(present), present - 1
        accused = {
            node: kinds
            for node in self._parts.store.ballots.judged_in(epoch, self._parts.own)
            if (kinds := self._parts.polling.accused(epoch, node))
        }
        if not accused or (bench := await self._parts.draws.bench(epoch)) is None:
            return
        panels = {
            node: bench.panel_on(node, self._parts.polling.votes(epoch, node, kinds[0])[0].operator)
            for node, kinds in accused.items()
        }
        reach = await self._reach({one for panel in panels.values() for one in panel})
        for wait in _REVEAL_WAITS:
            await self._until(times.reveals.within(wait))
            await self._exchange(epoch, panels, reach)
            open_claims = [
                (node, kind)
                for node, kinds in accused.items()
                for kind in kinds
                if not await self._settled(
                    epoch, node, panels[node], kind, bench.terms.threshold, times.reveals
                )
            ]
            if not open_claims:
                return

    async def _settled(
        self, epoch: int, node: Account, panel: Panel, kind: Kind, threshold: int, reveals: Window
    ) -> bool:
        """Send a claim when enough votes are known; whether there is nothing left to do for it."""
        accusation, votes = self._parts.polling.votes(epoch, node, kind)
        for committed in await self._quorum.commitments_to(accusation.subject, self._blocks_back()):
            leaves = [bytes.fromhex(one[2:]) for one in committed.leaves]
            ballot = Ballot.of(panel, leaves, votes)
            if len(ballot.voters) < threshold or self._parts.own not in ballot.voters:
                continue
            turn = ballot.voters.index(self._parts.own) * self._tick_seconds
            await self._until(min(self._parts.clock.now() + turn, reveals.end))
            if (await self._quorum.claim_of(committed.commitment)).status is not ClaimStatus.COMMITTED:
                return True
            return await self._send(self._calls.uphold(accusation, ballot))
        return False

    # Appeals

    async def _exchange_reversals(self, appeals: Sequence[Appeal], reach: dict[Account, Reach]) -> None:
        pairs = [
            (appeal, reach[member])
            for appeal in appeals
            for member in appeal.panel
            if member != self._parts.own and member in reach
        ]
        await asyncio.gather(*(self._exchange_reversal(*one) for one in pairs))

    async def _exchange_reversal(self, appeal: Appeal, member: Reach) -> None:
        hearings = self._parts.hearings
        still_open = self._schedule(appeal.epoch).end > self._parts.clock.now()
        try:
            async with NodeLine(member, self._parts.tls) as line:
                told = await line.exchange_reversals(hearings.told(appeal))
            if (told.claim_id, told.epoch) == (hash_bytes(appeal.claim_id), appeal.epoch):
                hearings.take(appeal, member.account, told, still_open=still_open)
        except (grpc.aio.AioRpcError, MalformedError) as error:
            log.info("votes not exchanged", member=member.account, reason=str(error)[:200])

    async def _commit_reversal(self, times: Schedule, appeal: Appeal) -> None:
        if not self._parts.hearings.wants_reversal(appeal):
            return
        turn = appeal.panel.index(self._parts.own) / (2 * len(appeal.panel))
        await self._until(times.commitments.within(turn))
        hashes = self._parts.hearings.hashes(appeal)
        listed = [hashes.get(member, NO_HASH) for member in appeal.panel]
        leaves = leaves_of(appeal.panel, listed)
        if (await self._quorum.claim_of(reversal_id(appeal.claim_id, appeal.epoch, leaves))).status is (
            ClaimStatus.NONE
        ):
            await self._send(self._calls.commit_reversal(appeal.claim_id, appeal.claim, listed))

    async def reverse(self, present: int) -> None:
        """Show the votes on appeals of the epoch before the present, and send what enough members agree on."""
        times, hearings = self._schedule(present), self._parts.hearings
        left = [one for one in await hearings.due(present - 1) if hearings.wants_reversal(one)]
        reach = await self._reach({one for appeal in left for one in appeal.panel}) if left else {}
        for wait in _REVEAL_WAITS:
            if not left:
                return
            await self._until(times.reveals.within(wait))
            await self._exchange_reversals(left, reach)
            left = [one for one in left if not await self._reversed(one, times.reveals)]

    async def _reversed(self, appeal: Appeal, reveals: Window) -> bool:
        """Send a reversal when enough votes are known; whether there is nothing left to do for it."""
        subject, votes = (
            reversal_subject(appeal.claim_id, appeal.epoch),
            self._parts.hearings.votes(appeal),
        )
        for committed in await self._quorum.commitments_to(subject, self._blocks_back()):
            ballot = Ballot.of(appeal.panel, [hash_bytes(one) for one in committed.leaves], votes)
            if len(ballot.voters) < appeal.threshold or self._parts.own not in ballot.voters:
                continue
            turn = ballot.voters.index(self._parts.own) * self._tick_seconds
            await self._until(min(self._parts.clock.now() + turn, reveals.end))
            if (await self._quorum.claim_of(appeal.claim_id)).status is not ClaimStatus.APPEALED:
                return True
            return await self._send(self._calls.reverse(appeal.claim_id, appeal.claim, ballot))
        return False

    def _blocks_back(self) -> int:
        """Blocks of two epochs, on a chain with a block a second at most."""
        return 2 * self._parts.epoch_seconds + 100

    async def _send(self, call: Call) -> bool:
        """Send a transaction; one that the contract refuses, as when another member was faster, is no error, and one
        that does not get through is no reason to leave the others out."""
        try:
            await self._parts.payer.send(call)
        except RevertedError as refusal:
            log.info("transaction refused", call=call.description, reason=refusal.sentence)
            return False
        except (ChainError, grpc.aio.AioRpcError) as error:
            log.warning("transaction not sent", call=call.description, reason=str(error)[:300])
            return False
        return True

    def _schedule(self, epoch: int) -> Schedule:
        return Schedule(epoch, self._parts.epoch_seconds)

    def _forget(self, epoch: int) -> None:
        self._parts.store.findings.prune(epoch - _KEPT_EPOCHS)
        self._parts.store.ballots.prune(epoch - _KEPT_EPOCHS)

    async def _until(self, moment: float) -> None:
        await self._parts.clock.until(moment)

    async def _pause(self, seconds: float) -> None:
        await self._until(self._parts.clock.now() + seconds)

    async def _until_or(self, stop: asyncio.Event, moment: float) -> None:
        """Return at a moment, or when it is time to stop."""
        waiting = [asyncio.create_task(one) for one in (self._until(moment), stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()


def _concerned(appeals: Sequence[Appeal]) -> set[Account]:
    """Whom a detector speaks with about appeals."""
    return {one for appeal in appeals for one in (appeal.node, *appeal.accusers, *appeal.panel)}
