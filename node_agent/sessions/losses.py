"""Which MPC nodes of a query keep silent, and this node's signed word of it to the coordinator."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import grpc
import grpc.aio
import structlog

from node_agent.peers.client import Peers
from node_agent.sessions.context import AgentContext
from node_agent.sessions.reports import deadline_by_the_chain
from node_agent.sessions.retry import FOR_GOOD, until_answered
from soterone.crypto.accounts import account_bytes
from soterone.crypto.messages import LossReport, sign
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.rpc.generated.coordinator_pb2 import LossNotice

log = structlog.get_logger()

CALL_SECONDS = 5.0
PING_INTERVAL_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""After so long without an answer a peer is reported: with the heartbeat's six seconds the loss is certain."""

OWN_GAP_SECONDS = 3.5
"""A longer pause between two rounds of pings is this node's own: it was stopped or starved, and heard nobody."""


@dataclass(slots=True)
class Silence:
    """How long each peer has not answered while this node listened; times in seconds of one monotonic clock."""

    heard_at: dict[Account, float]
    listened_at: float

    @classmethod
    def of(cls, peers: Iterable[Account], now: float) -> "Silence":
        """Begin to listen: nobody is silent yet."""
        return cls(dict.fromkeys(peers, now), now)

    def listen(self, now: float) -> None:
        """Note that this node is awake; after a gap of its own everybody gets fresh patience."""
        if now - self.listened_at > OWN_GAP_SECONDS:
            self.heard_at = dict.fromkeys(self.heard_at, now)
        self.listened_at = now

    def heard(self, peer: Account, now: float) -> None:
        """Note that a peer answered."""
        self.heard_at[peer] = now

    def seconds(self, peer: Account, now: float) -> float:
        """Return how long a peer has been silent."""
        return now - self.heard_at[peer]


@dataclass(slots=True)
class Losses:
    """What this node said of its MPC peers in one generation; each thing is said once, until it is so no more."""

    context: AgentContext
    query: QueryId
    generation: int
    _said: set[tuple[Account, bool]] = field(default_factory=set)

    def heard(self, peer: Account) -> None:
        """A peer answers: should it fall silent again, that is said again."""
        self._said.discard((peer, False))

    async def report(self, lost: Account, *, unlinked: bool) -> None:
        """Sign and tell that `lost` is silent, or alive but not to be computed with; returns once it is heard."""
        if (lost, unlinked) in self._said:
            return
        self._said.add((lost, unlinked))
        log.warning("MPC node reported as lost", query_id=self.query, node=lost, unlinked=unlinked)
        deadline = await deadline_by_the_chain(self.context)
        message = LossReport(hash_bytes(self.query), self.generation, lost, deadline)
        notice = LossNotice(
            query_id=message.query_id,
            generation=self.generation,
            lost=account_bytes(lost),
            deadline=deadline,
            signature=sign(self.context.signer, self.context.ledger, message),
            unlinked=unlinked,
        )
        with contextlib.suppress(grpc.aio.AioRpcError):
            await until_answered(
                lambda: self.context.coordinator.ReportLoss(notice, timeout=CALL_SECONDS),
                self.context.backoff,
                for_good=FOR_GOOD | {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS},
            )


async def watch(
    peers: Peers,
    mpcs: Sequence[Account],
    unlinked_after_seconds: float,
    say: Callable[[Account, bool], None],
    heard: Callable[[Account], None],
    clock: Callable[[], float],
) -> None:
    """Ping MPC nodes until cancelled; `say` is called again and again with who is silent (False) or unlinked (True).

    A peer that this node cannot reach for `unlinked_after_seconds` may be alive all the same: then the link is cut.
    """
    silence = Silence.of(mpcs, clock())
    while True:
        started = clock()
        silence.listen(started)
        for peer, answered in zip(mpcs, await asyncio.gather(*map(peers.is_alive, mpcs)), strict=True):
            if answered:
                silence.heard(peer, clock())
                heard(peer)
            elif (seconds := silence.seconds(peer, clock())) >= SILENT_SECONDS:
                say(peer, False)
                if seconds >= unlinked_after_seconds:
                    say(peer, True)
        await asyncio.sleep(max(0.1, started + PING_INTERVAL_SECONDS - clock()))
