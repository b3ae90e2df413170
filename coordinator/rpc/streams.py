"""The open streams of agents: one a node, the newest wins, and what waits to be sent is bounded."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from coordinator.errors import Conflict, CoordinatorError, TooMany
from soterone.domain.ids import Account
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
    """What waits to be sent to one agent: the latest acknowledgement, and a few offers."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.told: set[str] = set()
        self._acknowledged = 0
        self._waiting: list[pb.CoordinatorMessage] = []
        self._wake = asyncio.Event()
        self._end: CoordinatorError | None = None
        self._over = False

    @property
    def has_room(self) -> bool:
        """Whether one more offer or release may wait here."""
        return len(self._waiting) < MAX_WAITING

    def acknowledge(self, sequence: int) -> None:
        """Tell the agent that every heartbeat up to this one is durable."""
        self._acknowledged = sequence
        self._wake.set()

    def push(self, message: pb.CoordinatorMessage) -> None:
        """Send an offer or a release; TooMany when the agent reads too slowly."""
        if not self.has_room:
            raise TooMany("the agent does not read its stream")
        self._waiting.append(message)
        self._wake.set()

    def end(self, refusal: CoordinatorError | None = None) -> None:
        """End the stream, for a reason or because the agent ended its side."""
        self._end, self._over = self._end or refusal, True
        self._wake.set()

    async def messages(self) -> AsyncIterator[pb.CoordinatorMessage]:
        """Yield what is to be sent until the stream ends; raises the refusal that ended it."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._end is not None:
                raise self._end
            if self._acknowledged:
                sequence, self._acknowledged = self._acknowledged, 0
                yield pb.CoordinatorMessage(ack=pb.HeartbeatAck(sequence=sequence))
            waiting, self._waiting = self._waiting, []
            for message in waiting:
                yield message
            if self._over:
                return


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
    def open(self, account: Account) -> Iterator[AgentStream]:
        """Yield a new stream for a node; an older one of the same node ends with ReplacedStream."""
        stream = AgentStream(account)
        older = self._open.get(account)
        self._open[account] = stream
        if older is not None:
            older.end(ReplacedStream())
        try:
            yield stream
        finally:
            stream.end()
            if self._open.get(account) is stream:
                del self._open[account]
