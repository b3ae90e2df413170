"""Where this node answers the detectors drawn for it, within limits that keep its own work first.

A detector gets one whole challenge a round, none while a query computes; a query that begins ends
the challenge. Challenges wait for one another, so that none is measured beside another, and none lasts so long that
the next detector must take the wait for a refusal.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from node_agent.detection.plan import Allowance, Declared
from node_agent.detection.tasks import Run
from node_agent.detection.verdict import ROUNDS
from node_agent.detection.workbench import Workbench, WorkbenchError, WorkLimits
from node_agent.peers.errors import (
    ExhaustedError,
    MalformedError,
    NotAllowedError,
    NotReadyError,
    PeerRefusalError,
)
from node_agent.resources import runnable_tasks
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.domain.profiles import NodeProfile
from soterone.rpc.generated.coordinator_pb2 import DatasetCommitment, ResourceSnapshot
from soterone.rpc.generated.peer_pb2 import (
    ChallengeAnswer,
    ChallengeRun,
    ProbeReply,
    ToldSnapshot,
)

log = structlog.get_logger()

PROBES_AN_EPOCH = 32
CHALLENGES_A_ROUND = 3
"""How often one may begin in a round, as a network may break it off; after one that was done there is no other."""

RUN_PATIENCE_SECONDS = 30.0
CHALLENGE_SECONDS = 120.0
"""What is not done by then is broken off: a detector that dawdles keeps the others of its panel waiting."""

_ECHOES = 16
_WATCH_SECONDS = 0.1
_KIB = 1024

Write = Callable[[ChallengeAnswer], Awaitable[None]]


class ComputingError(PeerRefusalError):
    """A query computes here; its ids are in the answer to a probe."""


class Hearers(Protocol):
    """Who hears appeals; `node_agent.detection.appeals.Appeals`."""

    async def judges(self, node: Account, epoch: int) -> Collection[Account]:
        """Return who hears appeals of a node in an epoch."""


class Panels(Protocol):
    """Who was drawn; `node_agent.detection.draws.Draws`."""

    async def present_epoch(self) -> int:
        """Return the present epoch."""

    async def panel(self, node: Account, operator: Account, epoch: int) -> tuple[Account, ...]:
        """Return who judges a node in an epoch, empty while nobody does."""


@dataclass(frozen=True, slots=True)
class OwnStanding:
    """What this node tells detectors of itself."""

    account: Account
    operator: Account
    version: int
    profile: NodeProfile
    snapshot: Callable[[], ResourceSnapshot]
    computing: Callable[[], Sequence[QueryId]]
    datasets: Callable[[], Sequence[DatasetCommitment]]


class Desk:
    """Answers probes and challenges."""

    def __init__(
        self,
        own: OwnStanding,
        panels: Panels,
        appeals: Hearers | None = None,
        load: Callable[[], float] = runnable_tasks,
    ) -> None:
        self._own, self._panels, self._appeals, self._load = own, panels, appeals, load
        self._turn = asyncio.Lock()
        self._epoch = -1
        self._probes: Counter[Account] = Counter()
        self._challenges: Counter[tuple[Account, int]] = Counter()
        self._ending: set[asyncio.Task[None]] = set()
        self._present: set[Account] = set()

    async def probe(self, caller: Account, epoch: int) -> ProbeReply:
        """Tell a drawn detector what this node declares and how it stands. Errors: PeerRefusalError."""
        await self._admit(caller, epoch)
        self._probes[caller] += 1
        if self._probes[caller] > PROBES_AN_EPOCH:
            raise ExhaustedError("This detector has probed often enough in this epoch.")
        snapshot = self._own.snapshot()
        return ProbeReply(
            version=self._own.version,
            profile_json=self._own.profile.canonical().decode(),
            snapshot=ToldSnapshot(
                cpu_fraction=snapshot.cpu_fraction,
                load_1min=snapshot.load_1min,
                memory_used_bytes=snapshot.memory_used_bytes,
                memory_total_bytes=snapshot.memory_total_bytes,
            ),
            computing=map(hash_bytes, self._own.computing()),
            datasets=self._own.datasets(),
        )

    async def challenge(self, caller: Account, runs: AsyncIterator[ChallengeRun], write: Write) -> None:
        """Answer one round's runs in turn. Errors: PeerRefusalError."""
        first = await _next(runs)
        if first is None or first.lanes or not 0 <= first.round < ROUNDS:
            raise MalformedError("A challenge begins with its epoch and round, and without lanes.")
        await self._admit(caller, first.epoch)
        if caller in self._present:
            raise ExhaustedError("A detector has one challenge at a time.")
        self._present.add(caller)
        try:
            async with self._turn:
                await self._take_turn(caller, first.round, runs, write)
        finally:
            self._present.discard(caller)
        log.info("challenge answered", detector=caller, epoch=first.epoch, round=first.round)

    async def close(self) -> None:
        """Wait until no child is left; call it after the server has stopped."""
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _take_turn(
        self, caller: Account, number: int, runs: AsyncIterator[ChallengeRun], write: Write
    ) -> None:
        self._check_free()
        self._challenges[caller, number] += 1
        if self._challenges[caller, number] > CHALLENGES_A_ROUND:
            raise ExhaustedError("This detector has had its challenges of this round.")
        try:
            async with asyncio.timeout(CHALLENGE_SECONDS):
                await self._answer_all(runs, write)
        except TimeoutError as error:
            raise ExhaustedError("A challenge has its time, and the others of the panel wait.") from error
        self._challenges[caller, number] = CHALLENGES_A_ROUND

    async def _answer_all(self, runs: AsyncIterator[ChallengeRun], write: Write) -> None:
        allowance = Allowance.of(Declared.of(self._own.profile))
        bench = await _workbench(limits_of(allowance))
        try:
            await write(ChallengeAnswer())
            echoes = 0
            while (asked := await _next(runs)) is not None:
                if not asked.lanes:
                    echoes += 1
                    if echoes > _ECHOES:
                        raise ExhaustedError("A challenge has no more than 16 echoes.")
                    await write(ChallengeAnswer())
                    continue
                run = Run(asked.seed, asked.lanes, asked.steps, asked.memory_kib, asked.passes)
                if not allowance.spend(run):
                    raise ExhaustedError("A challenge asks no more of a node than its profile warrants.")
                await write(await self._answer(bench, run))
        finally:
            ending = asyncio.create_task(bench.stop())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)

    async def _answer(self, bench: Workbench, run: Run) -> ChallengeAnswer:
        before = self._load()
        working = asyncio.create_task(bench.run(run))
        try:
            while not working.done():
                self._check_free()
                await asyncio.wait((working,), timeout=_WATCH_SECONDS)
            return ChallengeAnswer(lanes=working.result(), load=max(before, self._load()))
        except WorkbenchError as error:
            raise NotReadyError(f"This node could not do a run: {error}.") from error
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError, WorkbenchError):
                await working

    def _check_free(self) -> None:
        if self._own.computing():
            raise ComputingError("A query computes here: ask again when it has ended.")

    async def _admit(self, caller: Account, epoch: int) -> None:
        present = await self._panels.present_epoch()
        if epoch != present:
            raise NotReadyError(f"The epoch here is {present}.")
        if epoch != self._epoch:
            self._epoch = epoch
            self._probes.clear()
            self._challenges.clear()
        if not await self._is_drawn(caller, epoch):
            raise NotAllowedError("The chain drew the caller for no judgement of this node in this epoch.")

    async def _is_drawn(self, caller: Account, epoch: int) -> bool:
        """Whether the caller judges this node in the epoch, or hears an appeal of its."""
        own = self._own
        if caller in await self._panels.panel(own.account, own.operator, epoch):
            return True
        return self._appeals is not None and caller in await self._appeals.judges(own.account, epoch)


def limits_of(allowance: Allowance) -> WorkLimits:
    """Return what the child that works off a challenge may use: every lane its own processor for all of the time."""
    return WorkLimits(allowance.memory_kib * _KIB, cpu_seconds=allowance.lanes * int(CHALLENGE_SECONDS))


async def _workbench(limits: WorkLimits) -> Workbench:
    try:
        return await Workbench.start(limits)
    except WorkbenchError as error:
        raise NotReadyError(f"This node could not begin: {error}.") from error


async def _next(runs: AsyncIterator[ChallengeRun]) -> ChallengeRun | None:
    """Return the next run, None at the end."""
    try:
        async with asyncio.timeout(RUN_PATIENCE_SECONDS):
            return await anext(runs, None)
    except TimeoutError as error:
        raise MalformedError("The detector kept silent for too long.") from error
