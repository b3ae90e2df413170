"""The rpc service: two TLS servers, one for those who enrol and one for registered nodes, and their loops."""

import asyncio
import gc

import structlog

from coordinator.context import Context
from coordinator.rpc.agents import Agents
from coordinator.rpc.dismissals import Dismissals
from coordinator.rpc.enrolment import Enrolment
from coordinator.rpc.guard import Guard
from coordinator.rpc.heartbeats import HeartbeatWriter
from coordinator.rpc.offers import OfferPusher
from coordinator.rpc.streams import Streams
from soterone.crypto.certificates import TlsIdentity
from soterone.rpc.channels import bind, server
from soterone.rpc.generated.coordinator_pb2_grpc import (
    add_AgentsServicer_to_server,
    add_EnrolmentServicer_to_server,
)

_log = structlog.get_logger()
_GRACE_SECONDS = 1.0


class RpcService:
    """Binds at construction, so that a taken port is known at once; `run` serves until stopped.

    Any number may run over one database. BindError when a port is taken.
    """

    def __init__(self, context: Context, identity: TlsIdentity) -> None:
        self._context = context
        self._streams = Streams()
        self._heartbeats = HeartbeatWriter(context)
        self._offers = OfferPusher(context, self._streams)
        self._dismissals = Dismissals(context, self._streams)
        self.ready = asyncio.Event()
        context.metrics.streams.set_function(lambda: len(self._streams))
        settings, guard = context.settings, Guard(context)
        shares_port = settings.many_processes
        self._enrolment = server([guard], shares_port=shares_port)
        self._agents = server([guard], shares_port=shares_port)
        add_EnrolmentServicer_to_server(Enrolment(context), self._enrolment)
        add_AgentsServicer_to_server(Agents(context, self._streams, self._heartbeats), self._agents)
        self.enrolment_port = bind(
            self._enrolment, f"{settings.host}:{settings.enrolment_port}", identity, None
        )
        self.agents_port = bind(
            self._agents, f"{settings.host}:{settings.agents_port}", identity, context.authority.ca_pem
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Listen first, then serve; at the end open streams get a second to finish."""
        collect_garbage_rarely()
        await self._heartbeats.flush()
        await self._enrolment.start()
        await self._agents.start()
        self.ready.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._heartbeats.run(stop))
                tasks.create_task(self._offers.run(stop))
                tasks.create_task(self._dismissals.run(stop))
        finally:
            for stream in self._streams:
                stream.end()
            await asyncio.gather(self._agents.stop(_GRACE_SECONDS), self._enrolment.stop(_GRACE_SECONDS))


def collect_garbage_rarely() -> None:
    """Let this process look for garbage less often: among the living objects of a thousand streams it took a third of
    the time."""
    gc.set_threshold(50_000, 20, 50)
