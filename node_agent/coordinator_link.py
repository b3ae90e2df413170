"""The connections to the coordinator: the Agents service over mTLS, and when it was last heard.

Heartbeats have a connection of their own, which can be left for a fresh one while calls are under way on the other.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import grpc
import grpc.aio

from node_agent.errors import AgentError, Unreachable
from soterone.crypto.certificates import TlsIdentity
from soterone.rpc.channels import agents_channel
from soterone.rpc.generated.coordinator_pb2 import AgentMessage, CoordinatorMessage
from soterone.rpc.generated.coordinator_pb2_grpc import AgentsStub

HeartbeatCall: TypeAlias = "grpc.aio.StreamStreamCall[AgentMessage, CoordinatorMessage]"
"""One call of Connect."""

_DIALS = 4
"""Connections that are tried at once: behind one address several processes may stand, one of them deaf."""

_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class CoordinatorLink:
    """A channel that reconnects by itself. `last_contact` is monotonic time in seconds; it starts as now.

    `answered` is set from the coordinator's first word on.
    """

    def __init__(
        self, address: str, ca_pem: bytes, tls: TlsIdentity, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._dial = partial(agents_channel, address, ca_pem, tls)
        self._channel, self._heartbeats = self._dial(), self._dial()
        self.agents = AgentsStub(self._channel)
        self.last_contact = clock()
        self.answered = asyncio.Event()

    def heard(self) -> None:
        """Note that the coordinator spoke just now."""
        self.last_contact = self._clock()
        self.answered.set()

    def open_stream(self) -> HeartbeatCall:
        """Open the stream of heartbeats; it waits while the coordinator cannot be reached."""
        call: HeartbeatCall = AgentsStub(self._heartbeats).Connect(wait_for_ready=True)
        return call

    async def redial(self, seconds: float) -> bool:
        """Leave the heartbeats' connection for the first of some fresh ones that is up; False when none is in time."""
        fresh = [self._dial() for _ in range(_DIALS)]
        waiting = {asyncio.create_task(channel.channel_ready()): channel for channel in fresh}
        try:
            ready, _ = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if ready:
                chosen = waiting[ready.pop()]
                fresh[fresh.index(chosen)], self._heartbeats = self._heartbeats, chosen
                return True
            return False
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            for channel in fresh:
                await channel.close(grace=None)

    async def close(self) -> None:
        """Close the connections; calls under way fail."""
        await self._heartbeats.close(grace=None)
        await self._channel.close(grace=None)


def refusal(error: grpc.aio.AioRpcError, what: str) -> AgentError:
    """Return the error that a command ends with when the coordinator refused, or did not answer, a call."""
    if error.code() in _AWAY:
        return Unreachable(f"the coordinator does not answer, {what}; check that it runs and try again")
    return AgentError(f"the coordinator refused, {what}: {error.details() or error.code().name.lower()}")
