"""What the leading MPC node does beyond its own part: it opens attempts, gathers addresses and starts everybody."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import grpc
import grpc.aio
import structlog

from node_agent.cancellation import all_of
from node_agent.peers.client import Peers
from node_agent.peers.errors import PeerRefusalError
from node_agent.sessions.attempt import Outcome
from node_agent.sessions.backoff import Backoff
from node_agent.sessions.states import MAX_ATTEMPTS, Fence
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.rpc.generated.peer_pb2 import EngineAddress

log = structlog.get_logger()

KNOCKING = Backoff(0.03, 0.5, factor=1.5)
AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class PeerAwayError(Exception):
    """A participant could not be won for an attempt; the text says which and why."""


class PeerEndedError(PeerAwayError):
    """A participant has ended the query already, and tells everybody itself."""


class LedSession(Protocol):
    """The leader's own session."""

    @property
    def fence(self) -> Fence:
        """The newest (generation, attempt)."""

    @property
    def peers(self) -> Peers:
        """The other participants."""

    async def join(self, fence: Fence) -> EngineAddress:
        """Open the attempt here."""

    async def start(self, fence: Fence, engines: list[EngineAddress]) -> None:
        """Start the attempt here."""

    async def outcome(self, fence: Fence) -> Outcome:
        """Wait until the attempt has ended here."""

    async def give_up(self, fence: Fence, sentence: str) -> None:
        """End the attempt for everybody, but not the query."""

    async def fail(self, reason: FailureReason, sentence: str) -> None:
        """End the query for everybody."""

    async def hear_of_failure(self, sentence: str) -> None:
        """End the query here, as another participant has."""


async def lead(session: LedSession, patience_seconds: float) -> None:
    """Make attempts until one links; ends the query when `MAX_ATTEMPTS` did not."""
    generation, first = session.fence.generation, session.fence.attempt + 1
    why = "this node was restarted too often"
    for number in range(first, MAX_ATTEMPTS + 1):
        fence = Fence(generation, number)
        try:
            await _attempt(session, fence, patience_seconds)
        except PeerEndedError as error:
            await session.hear_of_failure(str(error))
            return
        except (PeerAwayError, PeerRefusalError) as error:
            await session.fail(FailureReason.ENGINE_ERROR, str(error))
            return
        if await session.outcome(fence) is Outcome.OVER:
            return
        why = "they did not link"
        log.info("attempt ended without a link", attempt=number)
    await session.fail(
        FailureReason.ENGINE_ERROR, f"The participants' engines could not compute together: {why}."
    )


async def _attempt(session: LedSession, fence: Fence, patience_seconds: float) -> None:
    own = await session.join(fence)
    joining = (_join(session.peers, peer, fence, patience_seconds) for peer in session.peers.accounts)
    engines = [own, *await all_of(joining)]
    await session.start(fence, engines)
    starting = (_start(session.peers, peer, fence, engines) for peer in session.peers.accounts)
    try:
        await all_of(starting)
    except PeerAwayError as error:
        await session.give_up(fence, str(error))


async def _join(
    peers: Peers,
    peer: Account,
    fence: Fence,
    patience_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> EngineAddress:
    deadline = clock() + patience_seconds
    for wait in KNOCKING.waits():
        try:
            return await peers.join(peer, fence)
        except grpc.aio.AioRpcError as error:
            if error.code() not in AWAY:
                ended = error.code() is grpc.StatusCode.FAILED_PRECONDITION
                kind = PeerEndedError if ended else PeerAwayError
                raise kind(f"The node {peer} takes no part: {error.details()}") from error
            if clock() + wait > deadline:
                why = f"did not join within {patience_seconds:g} seconds ({error.details()})"
                raise PeerAwayError(f"The node {peer} {why}.") from error
        await asyncio.sleep(wait)
    raise AssertionError("waits never end")


async def _start(peers: Peers, peer: Account, fence: Fence, engines: list[EngineAddress]) -> None:
    try:
        await peers.start(peer, fence, engines)
    except grpc.aio.AioRpcError as error:
        raise PeerAwayError(f"The node {peer} did not start: {error.details()}") from error
