"""The heartbeat stream: snapshots up, acknowledgements and reservation offers down, for as long as the agent runs.

The coordinator's absence changes nothing for running sessions; this only comes back with backoff and jitter.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import grpc.aio
import structlog

from node_agent.cancellation import heed_cancellation
from node_agent.coordinator_link import CoordinatorLink, HeartbeatCall
from node_agent.sessions.backoff import Backoff
from soterone.domain.ids import QueryId, hash_bytes, query_id
from soterone.rpc.generated.coordinator_pb2 import (
    AgentMessage,
    CoordinatorMessage,
    Heartbeat,
    Offer,
    OfferAnswer,
    ResourceSnapshot,
)

log = structlog.get_logger()

_MAX_OFFERS_AT_ONCE = 64


class OfferTaker(Protocol):
    """Who answers reservation offers: the sessions."""

    async def consider(self, offer: Offer) -> OfferAnswer:
        """Answer an offer by policy and capacity; never raises for a bad offer."""

    async def release(self, query_id: QueryId) -> None:
        """Give back what an accepted offer holds; nothing happens when it is unknown or ordered."""

    def query_ids(self) -> list[QueryId]:
        """Return the queries that have state at this node."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often to beat, and after how many silent intervals the stream counts as dead."""

    interval_seconds: float = 2.0
    patience: int = 3

    @property
    def silence_seconds(self) -> float:
        """How long the coordinator may keep silent on an open stream: another one must hear us in time."""
        return self.interval_seconds * max(1, self.patience - 1)

    @property
    def welcome_seconds(self) -> float:
        """How long it may take to its first word: after a restart many agents come back at once."""
        return self.silence_seconds * 3


class _StreamEnded(Exception):
    """The coordinator ended the stream: whatever still works on it stops."""


_DEAF = "the coordinator does not acknowledge heartbeats"


class HeartbeatLoop:
    """One stream at a time; `run` returns only when it is cancelled."""

    def __init__(
        self,
        link: CoordinatorLink,
        offers: OfferTaker,
        snapshot: Callable[[], ResourceSnapshot],
        rhythm: Rhythm,
        backoff: Backoff | None = None,
    ) -> None:
        self._link = link
        self._offers = offers
        self._snapshot = snapshot
        self._rhythm = rhythm
        self._backoff = backoff or Backoff(first_seconds=0.2, longest_seconds=5.0)
        self._waits = self._backoff.waits()
        self._said = ""

    async def run(self) -> None:
        """Keep a stream open; each failure is logged once, then retried."""
        while True:
            try:
                reason = await self._one_stream()
            except asyncio.CancelledError:
                reason = "the stream was cancelled"
            heed_cancellation()
            self._complain(reason)
            await asyncio.sleep(next(self._waits))
            if reason is _DEAF:
                await self._find_another()

    async def _find_another(self) -> None:
        """Leave a connection on which nobody acknowledges for one that comes up, to another process if there is one."""
        seconds = self._rhythm.interval_seconds
        while not await self._link.redial(seconds):
            seconds = min(2 * seconds, self._rhythm.welcome_seconds)

    async def _one_stream(self) -> str:
        """Keep one stream until it ends; returns why it did."""
        call = self._link.open_stream()
        stream = _Stream(call, self._offers)
        silent = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat(stream))
                group.create_task(stream.write_all())
                await self._read(stream, group)
        except* TimeoutError:
            silent = True
        except* (_StreamEnded, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # what the call itself says of its end is said below
        finally:
            ended = call.done()
            call.cancel()
        if silent:
            return _DEAF
        return (await call.details() if ended else "") or "the coordinator closed the stream"

    async def _beat(self, stream: "_Stream") -> None:
        due = time.monotonic()
        while True:
            beat = Heartbeat(snapshot=self._snapshot(), sessions=map(hash_bytes, self._offers.query_ids()))
            await stream.send(AgentMessage(heartbeat=beat))
            due = max(due + self._rhythm.interval_seconds, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _read(self, stream: "_Stream", group: asyncio.TaskGroup) -> None:
        patience_seconds = self._rhythm.welcome_seconds
        while True:
            async with asyncio.timeout(patience_seconds):
                message = await stream.read()
            if message is None:
                raise _StreamEnded
            patience_seconds = self._rhythm.silence_seconds
            self._link.heard()
            self._welcome()
            match message.WhichOneof("body"):
                case "offer":
                    await stream.answering.acquire()
                    group.create_task(stream.answer(message.offer))
                case "release":
                    await self._offers.release(query_id(message.release.query_id))

    def _complain(self, sentence: str) -> None:
        if sentence != self._said:
            log.warning("coordinator away", reason=sentence)
        self._said = sentence

    def _welcome(self) -> None:
        if self._said:
            log.info("coordinator back")
        self._said, self._waits = "", self._backoff.waits()


class _Stream:
    """One call of Connect: numbered messages through a bounded queue, as only one writer may use it."""

    def __init__(self, call: HeartbeatCall, offers: OfferTaker) -> None:
        self._call = call
        self._offers = offers
        self._outgoing: asyncio.Queue[AgentMessage] = asyncio.Queue(maxsize=_MAX_OFFERS_AT_ONCE)
        self.answering = asyncio.Semaphore(_MAX_OFFERS_AT_ONCE)

    async def send(self, message: AgentMessage) -> None:
        """Queue a message; waits while the queue is full."""
        await self._outgoing.put(message)

    async def write_all(self) -> None:
        """Write queued messages in order until cancelled."""
        sequence = 0
        while True:
            message = await self._outgoing.get()
            sequence += 1
            message.sequence = sequence
            await self._call.write(message)

    async def read(self) -> CoordinatorMessage | None:
        """Return the next message, None when the coordinator has ended the stream."""
        message = await self._call.read()
        return message if isinstance(message, CoordinatorMessage) else None

    async def answer(self, offer: Offer) -> None:
        """Have an offer considered and queue the answer; gives back its place in `answering`."""
        try:
            answer = await self._offers.consider(offer)
        finally:
            self.answering.release()
        await self.send(AgentMessage(offer_answer=answer))
