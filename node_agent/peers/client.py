"""Calls to the other participants of one query, each over a channel that accepts one certificate only."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import grpc
import grpc.aio

from node_agent.cancellation import answer_of
from node_agent.peers.server import READY
from node_agent.sessions.order import Peer
from node_agent.sessions.states import Fence
from soterone.crypto.certificates import TlsIdentity
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.rpc.channels import CHUNK_BYTES, peer_channel
from soterone.rpc.generated.peer_pb2 import (
    AbortRequest,
    EngineAddress,
    JoinReply,
    JoinRequest,
    PingReply,
    PingRequest,
    Resume,
    ShareChunk,
    ShareHeader,
    ShareReceipt,
    StartRequest,
)
from soterone.rpc.generated.peer_pb2_grpc import PeerStub

CALL_SECONDS = 5.0
PING_SECONDS = 1.5
UNHEARD = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)

Upload = grpc.aio.StreamUnaryCall[ShareChunk, ShareReceipt]


class Peers:
    """The other participants of a query. Their certificates were held against the chain by `order.check_peers`."""

    def __init__(self, query: QueryId, identity: TlsIdentity, peers: Sequence[Peer]) -> None:
        self._query = hash_bytes(query)
        self._channels = {
            peer.account: peer_channel(peer.endpoint, peer.certificate_pem, identity) for peer in peers
        }
        self._stubs = {account: PeerStub(channel) for account, channel in self._channels.items()}

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Everybody but this node."""
        return tuple(self._stubs)

    def connect(self) -> None:
        """Begin the handshakes now, so that the first call finds its channel up."""
        for channel in self._channels.values():
            channel.get_state(try_to_connect=True)

    async def ping(self, peer: Account) -> PingReply:
        """Ask a peer where it is in the query; grpc.aio.AioRpcError when it does not answer or does not know it."""
        return await answer_of(
            self._stubs[peer].Ping(PingRequest(query_id=self._query), timeout=PING_SECONDS)
        )

    async def is_alive(self, peer: Account) -> bool:
        """Say whether a peer answers at all, if only to refuse."""
        try:
            await self.ping(peer)
        except grpc.aio.AioRpcError as error:
            return error.code() not in UNHEARD
        return True

    async def join(self, peer: Account, fence: Fence) -> JoinReply:
        """Ask a peer to open an attempt; grpc.aio.AioRpcError when it does not."""
        request = JoinRequest(query_id=self._query, generation=fence.generation, attempt=fence.attempt)
        return await answer_of(self._stubs[peer].Join(request, timeout=CALL_SECONDS))

    async def start(
        self, peer: Account, fence: Fence, engines: Sequence[EngineAddress], resume: Resume | None
    ) -> None:
        """Tell a peer the roster of an attempt and where it goes on, and let it begin."""
        request = StartRequest(
            query_id=self._query,
            generation=fence.generation,
            attempt=fence.attempt,
            engines=engines,
            resume=resume,
        )
        await answer_of(self._stubs[peer].Start(request, timeout=CALL_SECONDS))

    async def abort(self, peer: Account, fence: Fence, reason: int, sentence: str) -> None:
        """Tell a peer that an attempt (reason 0) or the query has ended."""
        request = AbortRequest(
            query_id=self._query,
            generation=fence.generation,
            attempt=fence.attempt,
            reason=reason,
            sentence=sentence,
        )
        await answer_of(self._stubs[peer].Abort(request, timeout=CALL_SECONDS))

    async def deliver_shares(self, peer: Account, fence: Fence, share: Path, timeout_seconds: float) -> None:
        """Upload a share file to its MPC node, once it has said that it takes it; AioRpcError when it does not."""
        await self._upload(self._stubs[peer].DeliverShares(timeout=timeout_seconds), fence, share)

    async def deliver_checkpoint(
        self, peer: Account, fence: Fence, part: Path, timeout_seconds: float
    ) -> None:
        """Upload a lender's part of a checkpoint to an MPC node; as `deliver_shares`."""
        await self._upload(self._stubs[peer].DeliverCheckpoint(timeout=timeout_seconds), fence, part)

    async def _upload(self, call: "Upload", fence: Fence, path: Path) -> None:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            header = ShareHeader(
                query_id=self._query,
                generation=fence.generation,
                attempt=fence.attempt,
                size_bytes=size_bytes,
            )
            with suppress(asyncio.InvalidStateError):  # the call has ended, and says below why
                await call.write(ShareChunk(header=header))
                if READY in dict(await call.initial_metadata()):
                    while data := file.read(CHUNK_BYTES):
                        await call.write(ShareChunk(data=data))
                    await call.done_writing()
        await answer_of(call)

    async def close(self) -> None:
        """Close all channels; calls under way fail."""
        for channel in self._channels.values():
            await channel.close(grace=None)
