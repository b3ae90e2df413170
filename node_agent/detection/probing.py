"""A detector's calls to one node over the peer channel, which accepts no other key than the chain's."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import grpc
import grpc.aio

from node_agent.cancellation import answer_of
from node_agent.detection.measuring import Answer, measure
from node_agent.detection.plan import Declared
from node_agent.detection.reach import Reach
from node_agent.detection.tasks import Run
from node_agent.detection.verdict import Round
from soterone.crypto.certificates import TlsIdentity
from soterone.rpc.channels import peer_channel
from soterone.rpc.generated.peer_pb2 import (
    AppealedClaim,
    ChallengeAnswer,
    ChallengeRun,
    OpenedClaim,
    PanelVotes,
    ProbeReply,
    ProbeRequest,
    ReversalVotes,
)
from soterone.rpc.generated.peer_pb2_grpc import PeerStub

PROBE_SECONDS = 10.0
EXCHANGE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 20.0
"""A detector that itself needs longer between two runs gives up, before the node takes it for silent."""

_ECHOES = 5

Call = grpc.aio.StreamStreamCall[ChallengeRun, ChallengeAnswer]


class EndedError(Exception):
    """The node ended a challenge before it was over."""


class TooSlowError(Exception):
    """This detector was too slow itself, which says nothing about the node."""


class NodeLine:
    """A line to one node, closed at the end of the block. Every call may raise grpc.aio.AioRpcError."""

    def __init__(self, node: Reach, identity: TlsIdentity) -> None:
        self.node = node
        self._channel = peer_channel(node.profile.endpoint, node.certificate_pem, identity)
        self._peer = PeerStub(self._channel)

    async def __aenter__(self) -> "NodeLine":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close(grace=None)

    async def probe(self, epoch: int) -> ProbeReply:
        """Ask what the node declares and how it stands."""
        return await answer_of(self._peer.Probe(ProbeRequest(epoch=epoch), timeout=PROBE_SECONDS))

    async def exchange(self, votes: PanelVotes) -> PanelVotes:
        """Hand over what was cast here and return what was cast there."""
        return await answer_of(self._peer.ExchangeVotes(votes, timeout=EXCHANGE_SECONDS))

    async def exchange_reversals(self, votes: ReversalVotes) -> ReversalVotes:
        """Likewise, on an appeal."""
        return await answer_of(self._peer.ExchangeReversals(votes, timeout=EXCHANGE_SECONDS))

    async def open_claim(self, claim_id: bytes) -> OpenedClaim:
        """Ask what the node has to show for a claim, or to say to it."""
        asked = AppealedClaim(claim_id=claim_id)
        return await answer_of(self._peer.OpenClaim(asked, timeout=EXCHANGE_SECONDS))

    async def challenge(
        self,
        epoch: int,
        number: int,
        patience_seconds: float,
        randomness: Callable[[int], bytes],
        clock: Callable[[], float],
    ) -> Round:
        """Return what one round measured against the profile; EndedError when the node left off, TooSlowError when this
        detector did."""
        call: Call = self._peer.Challenge(timeout=patience_seconds)
        try:
            stream = _Stream(call, clock)
            await stream.ask(ChallengeRun(epoch=epoch, round=number))
            measured = await measure(Declared.of(self.node.profile), stream, randomness, clock)
            await call.done_writing()
            await answer_of(call.read())
        finally:
            call.cancel()
        return measured


class _Stream:
    """One challenge under way, as `measure` has its runs answered."""

    def __init__(self, call: Call, clock: Callable[[], float]) -> None:
        self._call, self._clock = call, clock
        self._answered_at = float("inf")

    async def round_trip_seconds(self) -> float:
        """See Answerer."""
        shortest = float("inf")
        for _ in range(_ECHOES):
            started = self._clock()
            await self.ask(ChallengeRun())
            shortest = min(shortest, self._clock() - started)
        return shortest

    async def answer(self, run: Run) -> Answer:
        """See Answerer."""
        asked = ChallengeRun(
            seed=run.seed, lanes=run.lanes, steps=run.steps, memory_kib=run.memory_kib, passes=run.passes
        )
        answer = await self.ask(asked)
        return Answer(tuple(answer.lanes), answer.load)

    async def ask(self, run: ChallengeRun) -> ChallengeAnswer:
        """Send one run and return its answer."""
        if self._clock() - self._answered_at > LONGEST_PAUSE_SECONDS:
            raise TooSlowError
        with suppress(asyncio.InvalidStateError):  # the call has ended, and says below why
            await self._call.write(run)
        answer = await answer_of(self._call.read())
        if not isinstance(answer, ChallengeAnswer):
            raise EndedError
        self._answered_at = self._clock()
        return answer
