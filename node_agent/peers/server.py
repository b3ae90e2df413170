"""The Peer service: other participants call it over mutual TLS, and the chain says who they are.

A certificate by the coordinator's CA opens the connection; each call is then held against the query's participants
and the key hashes on chain, so that a false certificate of the coordinator is worth nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio
import structlog

from node_agent.peers.detection import DetectionCalls
from node_agent.peers.errors import (
    MalformedError,
    NotAllowedError,
    NotReadyError,
    PeerRefusalError,
    StaleFenceError,
    TooLargeError,
    UnknownQueryError,
)
from node_agent.sessions.ports import Directory
from node_agent.sessions.states import Fence
from soterone.crypto.certificates import TlsIdentity
from soterone.domain.ids import Account, QueryId, query_id
from soterone.domain.text import printable
from soterone.rpc.channels import bind, caller_key_hash, server
from soterone.rpc.generated.peer_pb2 import (
    AbortReply,
    AbortRequest,
    AppealedClaim,
    ChallengeRun,
    EngineAddress,
    JoinReply,
    JoinRequest,
    OpenedClaim,
    PanelVotes,
    PingReply,
    PingRequest,
    ProbeReply,
    ProbeRequest,
    Resume,
    ReversalVotes,
    ShareChunk,
    ShareReceipt,
    StartReply,
    StartRequest,
)
from soterone.rpc.generated.peer_pb2_grpc import PeerServicer, add_PeerServicer_to_server

log = structlog.get_logger()

CHUNK_PATIENCE_SECONDS = 30.0
MAX_ENGINES = 16
READY = "soter-ready"
"""Initial metadata of DeliverShares: the share is wanted. Data sent before is lost when the call is refused."""
MAX_SENTENCE = 500

Reply = TypeVar("Reply")
Context = grpc.aio.ServicerContext[Any, Any]


class ShareSink(Protocol):
    """Where an upload goes; it counts only once `commit` has returned."""

    async def write(self, data: bytes) -> None:
        """Append bytes; TooLargeError when the query's quota is spent."""

    async def commit(self) -> None:
        """Make what came available to the engine."""


class PeerSession(Protocol):
    """A query at this node, ordered on chain, as its other participants may use it."""

    @property
    def participants(self) -> tuple[Account, ...]:
        """Everybody who works on the query in this generation."""

    @property
    def owners(self) -> tuple[Account, ...]:
        """The data owners."""

    @property
    def leader(self) -> Account:
        """The MPC node that numbers the attempts."""

    @property
    def fence(self) -> Fence:
        """The newest (generation, attempt) known here."""

    async def join(self, fence: Fence) -> JoinReply:
        """Open an attempt, say where this node's engine will listen and which checkpoints it has; idempotent."""

    async def start(self, fence: Fence, engines: list[EngineAddress], resume: Resume | None) -> None:
        """Start the open attempt from the beginning or from a checkpoint; idempotent."""

    def receive(self, fence: Fence, owner: Account) -> AbstractContextManager[ShareSink]:
        """Take an owner's share for the open attempt; leaving without `commit` drops it."""

    def receive_checkpoint(self, fence: Fence, lender: Account) -> AbstractContextManager[ShareSink]:
        """Take a lender's part of the checkpoint that the open attempt goes on from; as `receive`."""

    async def aborted(self, fence: Fence, by: Account, reason: int, sentence: str) -> None:
        """End the attempt (reason 0) or the query, as another participant says."""


class SessionFinder(Protocol):
    """All queries of this node."""

    def find(self, query: QueryId) -> PeerSession | None:
        """Return a query that was ordered on chain and accepted here, None otherwise."""


class PeerService(PeerServicer):
    """Authorises each call, then hands it to the query's session."""

    def __init__(
        self,
        sessions: SessionFinder,
        directory: Directory,
        max_share_bytes: int,
        detection: DetectionCalls | None = None,
    ) -> None:
        self._sessions = sessions
        self._detection = detection or DetectionCalls()
        self._directory = directory
        self._max_share_bytes = max_share_bytes

    async def Join(self, request: JoinRequest, context: Context) -> JoinReply:
        """Only the leader joins."""
        return await _guarded(context, self._join(request, context))

    async def Start(self, request: StartRequest, context: Context) -> StartReply:
        """Only the leader starts."""
        return await _guarded(context, self._start(request, context))

    async def DeliverShares(
        self, request_iterator: AsyncIterator[ShareChunk], context: Context
    ) -> ShareReceipt:
        """Only owners deliver; what is cut short, too long or of another attempt leaves nothing behind."""
        return await _guarded(context, self._deliver(request_iterator, context))

    async def DeliverCheckpoint(
        self, request_iterator: AsyncIterator[ShareChunk], context: Context
    ) -> ShareReceipt:
        """Only the lenders of the open attempt deliver; otherwise as DeliverShares."""
        return await _guarded(context, self._deliver_checkpoint(request_iterator, context))

    async def Ping(self, request: PingRequest, context: Context) -> PingReply:
        """Any participant asks, also one of another generation: which of the two is behind is what it wants to know."""
        return await _guarded(context, self._ping(request, context))

    async def Abort(self, request: AbortRequest, context: Context) -> AbortReply:
        """Any participant ends an attempt, or the query."""
        return await _guarded(context, self._abort(request, context))

    async def Probe(self, request: ProbeRequest, context: Context) -> ProbeReply:
        """Only detectors drawn for this node in this epoch."""
        return await _guarded(context, self._detection.probe(request, context))

    async def Challenge(  # type: ignore[override]
        self, request_iterator: AsyncIterator[ChallengeRun], context: Context
    ) -> None:
        """Likewise, once a round."""
        await _guarded(context, self._detection.challenge(request_iterator, context))

    async def ExchangeVotes(self, request: PanelVotes, context: Context) -> PanelVotes:
        """Only members of the panel that judges the node named."""
        return await _guarded(context, self._detection.exchange(request, context))

    async def OpenClaim(self, request: AppealedClaim, context: Context) -> OpenedClaim:
        """Only members of the panel that hears the claim's appeal."""
        return await _guarded(context, self._detection.open_claim(request, context))

    async def ExchangeReversals(self, request: ReversalVotes, context: Context) -> ReversalVotes:
        """Likewise, between themselves."""
        return await _guarded(context, self._detection.exchange_reversals(request, context))

    async def _join(self, request: JoinRequest, context: Context) -> JoinReply:
        session, caller = self._authorise(context, request)
        _require_leader(session, caller)
        return await session.join(_fence(request))

    async def _start(self, request: StartRequest, context: Context) -> StartReply:
        session, caller = self._authorise(context, request)
        _require_leader(session, caller)
        if len(request.engines) > MAX_ENGINES:
            raise MalformedError("More engines than a query has participants.")
        resume = request.resume if request.HasField("resume") else None
        await session.start(_fence(request), list(request.engines), resume)
        return StartReply()

    async def _deliver(self, chunks: AsyncIterator[ShareChunk], context: Context) -> ShareReceipt:
        header = (await _next(chunks)).header
        session, caller = self._authorise(context, header)
        if caller not in session.owners:
            raise NotAllowedError("Only a data owner of the query delivers shares.")
        await self._take(session.receive(_fence(header), caller), header.size_bytes, chunks, context)
        return ShareReceipt()

    async def _deliver_checkpoint(self, chunks: AsyncIterator[ShareChunk], context: Context) -> ShareReceipt:
        header = (await _next(chunks)).header
        session, caller = self._authorise(context, header)
        await self._take(
            session.receive_checkpoint(_fence(header), caller), header.size_bytes, chunks, context
        )
        return ShareReceipt()

    async def _take(
        self,
        receiving: AbstractContextManager[ShareSink],
        size_bytes: int,
        chunks: AsyncIterator[ShareChunk],
        context: Context,
    ) -> None:
        if not 0 < size_bytes <= self._max_share_bytes:
            raise TooLargeError(f"A share may have 1 to {self._max_share_bytes} bytes.")
        with receiving as sink:
            await context.send_initial_metadata(((READY, "1"),))
            await _copy(chunks, sink, size_bytes)
            await sink.commit()

    async def _ping(self, request: PingRequest, context: Context) -> PingReply:
        session = self._session(request.query_id)
        if session is None:
            raise UnknownQueryError("This node has not seen this order on chain.")
        self._caller(context, session)
        return PingReply(generation=session.fence.generation, attempt=session.fence.attempt)

    async def _abort(self, request: AbortRequest, context: Context) -> AbortReply:
        session, caller = self._authorise(context, request)
        await session.aborted(
            _fence(request), caller, request.reason, printable(request.sentence, MAX_SENTENCE)
        )
        return AbortReply()

    def _authorise(self, context: Context, named: "_Named") -> tuple[PeerSession, Account]:
        session = self._session(named.query_id)
        if session is None:
            raise NotReadyError("This node has not seen this order on chain.")
        caller = self._caller(context, session)
        if named.generation != session.fence.generation:
            raise StaleFenceError(f"This node is at generation {session.fence.generation}.")
        return session, caller

    def _session(self, named: bytes) -> PeerSession | None:
        try:
            return self._sessions.find(query_id(named))
        except ValueError as error:
            raise MalformedError("A query id has 32 bytes.") from error

    def _caller(self, context: Context, session: PeerSession) -> Account:
        shown = caller_key_hash(context)
        for account in session.participants:
            if shown is not None and self._directory.key_hash(account) == shown:
                return account
        raise NotAllowedError("The caller's TLS key is on chain for no participant of this query.")


class PeerServer:
    """The Peer service on its address."""

    def __init__(self, service: PeerService, identity: TlsIdentity, ca_pem: bytes, listen: str) -> None:
        self._server = server()
        add_PeerServicer_to_server(service, self._server)
        self.port = bind(self._server, listen, identity, ca_pem)

    async def start(self) -> None:
        """Answer calls from now on."""
        await self._server.start()

    async def stop(self, grace_seconds: float = 0.5) -> None:
        """Stop answering; calls under way get the grace."""
        await self._server.stop(grace_seconds)


class _Named(Protocol):
    @property
    def query_id(self) -> bytes: ...
    @property
    def generation(self) -> int: ...


class _Fenced(_Named, Protocol):
    @property
    def attempt(self) -> int: ...


async def _guarded(context: Context, work: Awaitable[Reply]) -> Reply:  # noqa: RET503 (abort never returns)
    """Await the work; a refusal becomes the call's status, and what an unexpected error says stays here."""
    try:
        return await work
    except PeerRefusalError as error:
        code, sentence = error.code, str(error)
    except Exception:
        log.exception("peer call failed")
        code, sentence = grpc.StatusCode.INTERNAL, "Internal error of this node."
    await context.abort(code, sentence)


async def _next(chunks: AsyncIterator[ShareChunk]) -> ShareChunk:
    try:
        async with asyncio.timeout(CHUNK_PATIENCE_SECONDS):
            return await anext(chunks)
    except StopAsyncIteration as error:
        raise MalformedError("The upload ended before its announced size.") from error
    except TimeoutError as error:
        raise MalformedError("The upload stood still for too long.") from error


async def _copy(chunks: AsyncIterator[ShareChunk], sink: ShareSink, size_bytes: int) -> None:
    left = size_bytes
    while left:
        data = (await _next(chunks)).data
        if not data:
            raise MalformedError("An upload's chunk is empty.")
        if len(data) > left:
            raise TooLargeError("The upload is longer than announced.")
        await sink.write(data)
        left -= len(data)
    async for _ in chunks:
        raise TooLargeError("The upload is longer than announced.")


def _fence(named: _Fenced) -> Fence:
    return Fence(named.generation, named.attempt)


def _require_leader(session: PeerSession, caller: Account) -> None:
    if caller != session.leader:
        raise NotAllowedError("Only the leading MPC node of the query opens and starts attempts.")
