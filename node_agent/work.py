"""Puts the queries of an agent together: sessions, the peer service they are reached by, and the engine they run."""

import asyncio

from node_agent.agent import AgentParts
from node_agent.chain_watch import QueryEvent
from node_agent.detection.station import Detection
from node_agent.engines.spu.engine import SpuEngine
from node_agent.peers.server import PeerServer, PeerService
from node_agent.sessions.context import AgentContext
from node_agent.sessions.manager import Sessions
from node_agent.sessions.port_range import PortRange
from node_agent.sessions.ports import SessionLimits
from node_agent.workspace.folder import Workspaces
from soterone.domain.endpoints import host_of
from soterone.domain.ids import QueryId
from soterone.rpc.generated.coordinator_pb2 import Offer, OfferAnswer


class QueryWork:
    """The `Work` of `node_agent.agent`."""

    def __init__(self, parts: AgentParts) -> None:
        limits = parts.settings.limits(parts.profile)
        self._parts = parts
        self._max_share_bytes = limits.workspace_bytes
        self._sessions = Sessions(_context(parts, limits))
        self._detection = Detection.of(parts, self._sessions.computing)
        self._server: PeerServer | None = None

    async def start(self) -> None:
        """See `Work`."""
        service = PeerService(
            self._sessions, self._parts.directory, self._max_share_bytes, self._detection.calls
        )
        identity = self._parts.identity
        server = PeerServer(service, identity.tls, identity.ca_pem, self._parts.settings.listen)
        await server.start()
        self._server = server

    async def consider(self, offer: Offer) -> OfferAnswer:
        """See `OfferTaker`."""
        return await self._sessions.consider(offer)

    async def release(self, query_id: QueryId) -> None:
        """See `OfferTaker`."""
        await self._sessions.release(query_id)

    def query_ids(self) -> list[QueryId]:
        """See `OfferTaker`."""
        return self._sessions.query_ids()

    async def handle(self, event: QueryEvent) -> None:
        """See `Work`."""
        await self._sessions.handle(event)

    async def run(self, stop: asyncio.Event) -> None:
        """See `Work`."""
        running = asyncio.create_task(self._sessions.run())
        detecting = asyncio.create_task(self._detection.run(stop))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            running.cancel()
            stopping.cancel()
            detecting.cancel()
            await asyncio.gather(running, stopping, detecting, return_exceptions=True)

    async def close(self) -> None:
        """See `Work`."""
        if self._server is not None:
            await self._server.stop(grace_seconds=0.2)
        await self._detection.close()


def _context(parts: AgentParts, limits: SessionLimits) -> AgentContext:
    return AgentContext(
        signer=parts.identity.signer,
        tls=parts.identity.tls,
        host=host_of(parts.settings.endpoint),
        ledger=parts.network.domain("QueryLedger"),
        store=parts.store.sessions,
        directory=parts.directory,
        datasets=parts.datasets,
        policy=parts.policy,
        coordinator=parts.link.agents,
        engine=SpuEngine(),
        workspaces=Workspaces.under(parts.folder.path, limits.workspace_bytes),
        chain=parts.chain,
        last_contact=lambda: parts.link.last_contact,
        limits=limits,
        seen_hashes=parts.store.chain_log.hashes_at,
        engine_ports=PortRange(*limits.engine_ports),
    )
