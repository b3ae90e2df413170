"""The one connection to the coordinator: the Agents service over mTLS, and when it was last heard."""

import asyncio
import time
from collections.abc import Callable

import grpc
import grpc.aio

from node_agent.errors import AgentError, Unreachable
from soterone.crypto.certificates import TlsIdentity
from soterone.rpc.channels import agents_channel
from soterone.rpc.generated.coordinator_pb2_grpc import AgentsStub

_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class CoordinatorLink:
    """A channel that reconnects by itself. `last_contact` is monotonic time in seconds; it starts as now.

    `answered` is set from the coordinator's first word on.
    """

    def __init__(
        self, address: str, ca_pem: bytes, tls: TlsIdentity, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._channel = agents_channel(address, ca_pem, tls)
        self.agents = AgentsStub(self._channel)
        self.last_contact = clock()
        self.answered = asyncio.Event()

    def heard(self) -> None:
        """Note that the coordinator spoke just now."""
        self.last_contact = self._clock()
        self.answered.set()

    async def close(self) -> None:
        """Close the channel; calls under way fail."""
        await self._channel.close(grace=None)


def refusal(error: grpc.aio.AioRpcError, what: str) -> AgentError:
    """Return the error that a command ends with when the coordinator refused, or did not answer, a call."""
    if error.code() in _AWAY:
        return Unreachable(f"the coordinator does not answer, {what}; check that it runs and try again")
    return AgentError(f"the coordinator refused, {what}: {error.details() or error.code().name.lower()}")
