"""The open streams of agents: one a node, the newest wins, and what waits to be sent is bounded."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import grpc
import grpc.aio

from coordinator.errors import Conflict, CoordinatorError, TooMany
from soterone.domain.ids import Account, QueryId
from soterone.rpc.generated import coordinator_pb2 as pb

MAX_WAITING: Final = 64
"""Offers and releases that may wait on a stream; more are left in the database for the next look."""


class ReplacedStream(Conflict):
    """A newer stream of the same node took over."""

    @property
    def sentence(self) -> str:
        """What happened."""
        return "this node opened a newer stream; run one soter-node a folder"


class AgentStream:
    """What goes down to one agent, message by message: gRPC takes one at a time.

    It belongs to the task that made it, which reads the agent's messages; `end` ends that task.
    """

    def __init__(self, account: Account, write: Callable[[pb.CoordinatorMessage], Awaitable[None]]) -> None:
        self.account = account
        self.told: set[QueryId] = set()
        self.ended = False
        self.refusal: CoordinatorError | None = None
        self._write = write
        self._writing = asyncio.Lock()
        self._waiting: deque[pb.CoordinatorMessage] = deque()
        self._pusher: asyncio.Task[None] | None = None
        self._reader = asyncio.current_task()

    @property
    def has_room(self) -> bool:
        """Whether one more offer or release may wait here."""
        return len(self._waiting) < MAX_WAITING

    async def send(self, message: pb.CoordinatorMessage) -> None:
        """Send now, and wait until the connection has taken it."""
        async with self._writing:
            await self._write(message)

    def push(self, message: pb.CoordinatorMessage) -> None:
        """Send an offer or a release soon; TooMany when the agent reads too slowly."""
        if not self.has_room:
            raise TooMany("the agent does not read its stream")
        self._waiting.append(message)
        if self._pusher is None:
            self._pusher = asyncio.create_task(self._push_all())

    def end(self, refusal: CoordinatorError | None = None) -> None:
        """End the stream, for a reason or because the service stops. The first call counts."""
        if not self.ended:
            self.ended, self.refusal = True, refusal
            if self._reader is not None:
                self._reader.cancel()

    def close(self) -> None:
        """Forget what waits: nobody reads it any more."""
        self._waiting.clear()
        if self._pusher is not None:
            self._pusher.cancel()

    async def _push_all(self) -> None:
        try:
            while self._waiting:
                await self.send(self._waiting.popleft())
        except (grpc.RpcError, grpc.aio.BaseError):
            self._waiting.clear()
        finally:
            self._pusher = None


class Streams:
    """All streams of this process, by node."""

    def __init__(self) -> None:
        self._open: dict[Account, AgentStream] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[AgentStream]:
        return iter(tuple(self._open.values()))

    def accounts(self) -> list[Account]:
        """Return the nodes that are connected here."""
        return list(self._open)

    def of(self, account: Account) -> AgentStream | None:
        """Return the stream of a node, None when it is not connected here."""
        return self._open.get(account)

    @contextmanager
    def open(
        self, account: Account, write: Callable[[pb.CoordinatorMessage], Awaitable[None]]
    ) -> Iterator[AgentStream]:
        """Yield a new stream for a node; an older one of the same node ends with ReplacedStream.

        The block ends with the refusal that ended the stream, and quietly when it ended without one.
        """
        stream = AgentStream(account, write)
        older = self._open.get(account)
        self._open[account] = stream
        if older is not None:
            older.end(ReplacedStream())
        try:
            yield stream
        except asyncio.CancelledError:
            _take_ending(stream)
        finally:
            stream.ended = True
            stream.close()
            if self._open.get(account) is stream:
                del self._open[account]


def _take_ending(stream: AgentStream) -> None:
    """Tell the end of a stream by ourselves from a call that gRPC cancelled because the agent is gone."""
    task = asyncio.current_task()
    if not stream.ended or task is None:
        raise asyncio.CancelledError
    task.uncancel()
    if stream.refusal is not None:
        raise stream.refusal
