"""What the leading MPC node does beyond its own part: it opens attempts, gathers addresses and starts everybody.

A peer that is away never ends the query: the leader knocks until it joins, or until the chain names a successor.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import grpc
import grpc.aio
import structlog

from node_agent.cancellation import all_of
from node_agent.peers.client import Peers
from node_agent.peers.errors import PeerRefusalError
from node_agent.sessions.attempt import Ended
from node_agent.sessions.backoff import Backoff
from node_agent.sessions.checkpoints import Checkpoint, choose
from node_agent.sessions.order import Order
from node_agent.sessions.states import MAX_ATTEMPTS, UNLINKED_TRIES, Fence
from soterone.crypto.accounts import account
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.rpc.generated.peer_pb2 import EngineAddress, JoinReply, Resume

log = structlog.get_logger()

KNOCKING = Backoff(0.03, 1.0, factor=1.5)
BETWEEN_ATTEMPTS = Backoff(0.1, 5.0)
MOST_BROKEN = 5
"""So many computations of one generation may break before its query is taken for one that breaks engines."""


class PeerAwayError(Exception):
    """A participant could not be won for an attempt; the text says which and why."""


class PeerEndedError(PeerAwayError):
    """A participant has ended the query already, and tells everybody itself."""


class PeerAheadError(PeerAwayError):
    """A participant knows a newer attempt than the leader, who was restarted."""

    def __init__(self, sentence: str, attempt: int) -> None:
        super().__init__(sentence)
        self.attempt = attempt


class LedSession(Protocol):
    """The leader's own session."""

    @property
    def order(self) -> Order:
        """The order and the nodes of this generation."""

    @property
    def fence(self) -> Fence:
        """The newest (generation, attempt)."""

    @property
    def peers(self) -> Peers:
        """The other participants."""

    async def join(self, fence: Fence) -> JoinReply:
        """Open the attempt here."""

    async def start(self, fence: Fence, engines: list[EngineAddress], resume: Resume | None) -> None:
        """Start the attempt here."""

    async def ended(self, fence: Fence) -> Ended:
        """Wait until the attempt has ended here."""

    async def give_up(self, fence: Fence, sentence: str) -> None:
        """End the attempt for everybody, but not the query."""

    async def fail(self, reason: FailureReason, sentence: str) -> None:
        """End the query for everybody."""

    async def hear_of_failure(self, sentence: str) -> None:
        """End the query here, as another participant has."""

    def is_credible(self, fence: Fence, peer: Account, reply: JoinReply) -> bool:
        """Say whether a peer's answer is its own and fit for everybody's roster."""

    def report_loss(self, lost: Account, unlinked: bool) -> None:
        """Tell the coordinator of an MPC node that cannot be worked with."""


@dataclass(slots=True)
class Tally:
    """How the attempts of one generation ended; pure."""

    unlinked: int = 0
    broken: int = 0
    why: str = "this node was restarted too often"

    def count(self, ended: Ended) -> None:
        """Take an attempt that was started and ended without a result."""
        self.why = ended.why or self.why
        if ended.linked:
            self.broken += 1
        else:
            self.unlinked += 1

    def verdict(self, next_number: int) -> tuple[FailureReason, str] | None:
        """Return why the query fails now; None as long as another attempt may be made."""
        if self.broken >= MOST_BROKEN:
            sentence = f"The computation broke {self.broken} times; the last time: {self.why}"
            return FailureReason.QUARANTINED, sentence
        if self.unlinked >= UNLINKED_TRIES or next_number > MAX_ATTEMPTS:
            sentence = f"The participants' engines could not compute together: {self.why}"
            return FailureReason.ENGINE_ERROR, sentence
        return None


async def lead(session: LedSession, patience_seconds: float) -> None:
    """Make attempts until one leaves nothing to try again, or one too many has failed."""
    generation, number, tally = session.fence.generation, session.fence.attempt + 1, Tally()
    for wait in BETWEEN_ATTEMPTS.waits():
        if (verdict := tally.verdict(number)) is not None:
            if not tally.broken:  # those who could not link have complained, and may be replaced
                await asyncio.sleep(patience_seconds)
            return await session.fail(*verdict)
        fence = Fence(generation, number)
        number += 1
        try:
            if await _begin(session, fence, patience_seconds):
                ended = await session.ended(fence)
                if not ended.again:
                    return None
                log.info("attempt ended", attempt=fence.attempt, linked=ended.linked, why=ended.why)
                tally.count(ended)
        except PeerEndedError as error:
            return await session.hear_of_failure(str(error))
        except PeerAheadError as ahead:
            await session.give_up(fence, str(ahead))
            number = max(number, ahead.attempt + 1)
        except PeerRefusalError as refusal:
            log.warning("attempt not opened here", attempt=fence.attempt, why=str(refusal))
        await asyncio.sleep(wait)
    return None


async def _begin(session: LedSession, fence: Fence, patience_seconds: float) -> bool:
    """Win everybody for an attempt and start it; False when it was given up before."""
    own, peers = await session.join(fence), session.peers
    replies = [own, *await all_of(_join(session, one, fence, patience_seconds) for one in peers.accounts)]
    engines, resume = [reply.engine for reply in replies], _resume(session.order, replies)
    await session.start(fence, engines, resume)
    try:
        await all_of(_start(peers, peer, fence, engines, resume) for peer in peers.accounts)
    except PeerAwayError as error:
        await session.give_up(fence, str(error))
        return False
    return True


def _resume(order: Order, replies: list[JoinReply]) -> Resume | None:
    held = {
        account(reply.engine.account): [Checkpoint.from_wire(one) for one in reply.checkpoints]
        for reply in replies
    }
    chosen = choose(held, order.mpcs)
    return chosen.to_wire() if chosen else None


async def _join(
    session: LedSession,
    peer: Account,
    fence: Fence,
    patience_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> JoinReply:
    """Knock until a peer joins. An MPC node that does not is complained of, and may then be replaced."""
    complain_at = clock() + patience_seconds
    for wait in KNOCKING.waits():
        why = "it did not sign the address that it answers, or names more checkpoints than anybody keeps"
        try:
            reply = await session.peers.join(peer, fence)
            if session.is_credible(fence, peer, reply):
                return reply
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                raise PeerEndedError(f"The node {peer} takes no part: {error.details()}") from error
            if error.code() is grpc.StatusCode.ABORTED:
                await _require_behind(session.peers, peer, fence)
            why = error.details() or error.code().name
        if clock() > complain_at:
            complain_at = clock() + patience_seconds
            log.warning("peer does not join", peer=peer, why=why)
            if peer in session.order.mpcs:
                session.report_loss(peer, True)
        await asyncio.sleep(wait)
    raise AssertionError("waits never end")


async def _require_behind(peers: Peers, peer: Account, fence: Fence) -> None:
    """Return when a peer that refused a Join as stale merely lags in its generation, or tells nothing of use."""
    try:
        there = await peers.ping(peer)
    except grpc.aio.AioRpcError:
        return
    if there.generation == fence.generation and fence.attempt <= there.attempt <= MAX_ATTEMPTS:
        raise PeerAheadError(f"The node {peer} was at attempt {there.attempt} already.", there.attempt)


async def _start(
    peers: Peers, peer: Account, fence: Fence, engines: list[EngineAddress], resume: Resume | None
) -> None:
    try:
        await peers.start(peer, fence, engines, resume)
    except grpc.aio.AioRpcError as error:
        raise PeerAwayError(f"The node {peer} did not start: {error.details()}") from error
