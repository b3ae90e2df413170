"""A detector's rounds: reaches the nodes it judges, challenges one at a time, and writes down what it heard."""

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

import grpc
import grpc.aio
import structlog

from node_agent.datasets.commitment import is_bound
from node_agent.detection.clock import Clock, WallClock
from node_agent.detection.findings import FINDINGS, Findings, Heard, Try, TwoRoots
from node_agent.detection.plan import Declared
from node_agent.detection.probing import EndedError, NodeLine, TooSlowError
from node_agent.detection.reach import Reach
from node_agent.detection.schedule import Window
from node_agent.detection.snapshots import Snapshot
from node_agent.peers.client import UNHEARD
from node_agent.store.findings import FindingsTable
from soterone.chain.events import Event, MPCUpdated, QueryDispatched
from soterone.chain.records import Block, QueryState, QueryStatus
from soterone.crypto.certificates import TlsIdentity
from soterone.crypto.messages import Domain
from soterone.domain.ids import Account, QueryId, query_id
from soterone.rpc.generated.peer_pb2 import ProbeReply

log = structlog.get_logger()

TRIES = 4
LONG_ENOUGH_SECONDS = 60.0
"""A challenge that got less time than this and was not answered says nothing: others' come first."""

LONGEST_CHALLENGE_SECONDS = 300.0
_MAX_EXCUSES = 8
_SPARE_SECONDS = 0.2


class SeenChain(Protocol):
    """What excuses are held against; `ChainClient`."""

    async def head(self) -> Block:
        """Return the newest block."""

    async def status_of(self, query_id: QueryId) -> QueryState:
        """Return the slot of a query."""

    async def events_of_query(self, query_id: QueryId, last_block: int) -> tuple[Event, ...]:
        """Return the query's events up to a block."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """`listening` says whether this detector hears anybody at all now; `load_in_heartbeats` what the coordinator has
    of a node's load. Times are seconds since 1970."""

    tls: TlsIdentity
    chain: SeenChain
    registry: Domain
    table: FindingsTable
    listening: Callable[[], bool]
    load_in_heartbeats: Callable[[Account], Awaitable[float | None]]
    clock: Clock = field(default_factory=WallClock)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def play(self, epoch: int, number: int, window: Window, nodes: Sequence[tuple[Reach, int]]) -> None:
        """Do one round with all nodes, each with the version that it has on chain; ends with the window.

        Each challenge has its share of the window, or what is long enough: some nodes that hang keep the detector from
        no other.
        """
        left_seconds = max(0.0, window.end - self.clock.now())
        share_seconds = max(LONG_ENOUGH_SECONDS, left_seconds / max(1, len(nodes)))
        order = random.sample(nodes, len(nodes))
        with suppress(TimeoutError):
            async with asyncio.timeout(left_seconds):
                await asyncio.gather(
                    *(self._node(epoch, number, window, share_seconds, *one) for one in order)
                )

    def seen(self, epoch: int, node: Account) -> Findings | None:
        """Return what was seen of a node, None for nothing."""
        kept = self.table.get(epoch, node)
        return FINDINGS.validate_json(kept) if kept else None

    async def _node(
        self, epoch: int, number: int, window: Window, share_seconds: float, node: Reach, version: int
    ) -> None:
        if self._has_answered(epoch, number, node.account):
            return
        for left in range(TRIES, 0, -1):
            tried = await self._try(epoch, number, window, share_seconds, node, version)
            if tried.challenge is Heard.ANSWER:
                return
            spare = (window.end - self.clock.now()) / (left + 1)
            await self.clock.until(self.clock.now() + spare * random.uniform(0.5, 1))  # noqa: S311 - only jitter

    def _has_answered(self, epoch: int, number: int, node: Account) -> bool:
        """Whether the round is done: an epoch's work may begin again after an error or a restart."""
        seen = self.seen(epoch, node)
        return seen is not None and Heard.ANSWER in [
            one.challenge for one in seen.tries if one.round == number
        ]

    async def _try(
        self, epoch: int, number: int, window: Window, share_seconds: float, node: Reach, version: int
    ) -> Try:
        seen = self.seen(epoch, node.account) or Findings(Declared.of(node.profile), version)
        tried = Try(number, Heard.UNSURE)
        async with NodeLine(node, self.tls) as line:
            try:
                told = await line.probe(epoch)
            except grpc.aio.AioRpcError as error:
                tried = replace(tried, probe=self._silence(error))
            else:
                tried = replace(tried, probe=Heard.ANSWER)
                seen = self._told(seen, node, told)
                async with self.turn:
                    end = min(window.end, self.clock.now() + share_seconds)
                    heard, seen = await self._challenge(epoch, number, end, line, told, seen)
                tried = replace(tried, challenge=heard)
        seen = seen.tried(tried)
        self.table.save(epoch, node.account, FINDINGS.dump_json(seen).decode())
        log.info(
            "probed", node=node.account, round=number, probe=str(tried.probe), challenge=str(tried.challenge)
        )
        return tried

    def _silence(self, error: grpc.aio.AioRpcError) -> Heard:
        if error.code() not in UNHEARD or "The epoch here is" in (error.details() or ""):
            return Heard.REFUSAL
        return Heard.NOTHING if self.listening() else Heard.UNSURE

    def _told(self, seen: Findings, node: Reach, told: ProbeReply) -> Findings:
        snapshot = Snapshot(told.snapshot.load_1min, told.snapshot.memory_total_bytes)
        roots = () if seen.two_roots else self._two_roots(node, told)
        return replace(
            seen,
            snapshots=(*seen.snapshots, snapshot),
            versions=(*seen.versions, told.version),
            two_roots=(*seen.two_roots, *roots),
        )

    def _two_roots(self, node: Reach, told: ProbeReply) -> tuple[TwoRoots, ...]:
        """Datasets whose owner has signed one root for the catalog and tells another one here."""
        published = {one.dataset_id: one for one in node.datasets}
        return tuple(
            TwoRoots(
                one.dataset_id, first.root.hex(), first.signature.hex(), one.root.hex(), one.signature.hex()
            )
            for one in told.datasets
            if (first := published.get(one.dataset_id)) is not None
            and first.root != one.root
            and all(
                is_bound(node.account, self.registry, each.dataset_id, each.root, each.signature)
                for each in (first, one)
            )
        )

    async def _challenge(
        self, epoch: int, number: int, end: float, line: NodeLine, told: ProbeReply, seen: Findings
    ) -> tuple[Heard, Findings]:
        patience_seconds = min(LONGEST_CHALLENGE_SECONDS, end - self.clock.now() - _SPARE_SECONDS)
        if patience_seconds <= 0:
            return Heard.UNSURE, seen
        try:
            measured = await line.challenge(
                epoch, number, patience_seconds, secrets.token_bytes, time.monotonic
            )
        except grpc.aio.AioRpcError as error:
            return await self._refused(error, patience_seconds, line, epoch, told), seen
        except EndedError:
            return Heard.REFUSAL, seen
        except TooSlowError:
            return Heard.UNSURE, seen
        measured = replace(measured, load_in_heartbeats=await self.load_in_heartbeats(line.node.account))
        return Heard.ANSWER, replace(seen, rounds=(*seen.rounds, measured))

    async def _refused(
        self,
        error: grpc.aio.AioRpcError,
        patience_seconds: float,
        line: NodeLine,
        epoch: int,
        told: ProbeReply,
    ) -> Heard:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Heard.REFUSAL if patience_seconds >= LONG_ENOUGH_SECONDS else Heard.UNSURE
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            with suppress(grpc.aio.AioRpcError):
                told = await line.probe(epoch)
            for one in told.computing[:_MAX_EXCUSES]:
                if len(one) == 32 and await self._takes_part(line.node.account, query_id(one)):
                    return Heard.EXCUSE
        return Heard.REFUSAL

    async def _takes_part(self, node: Account, query: QueryId) -> bool:
        """Whether the chain bears out that the node works on a query now."""
        if (await self.chain.status_of(query)).status is not QueryStatus.DISPATCHED:
            return False
        head = await self.chain.head()
        for event in await self.chain.events_of_query(query, head.number):
            match event:
                case QueryDispatched() if node in (*event.owners, *event.mpcs):
                    return True
                case MPCUpdated() if node == event.new_mpc:
                    return True
        return False
