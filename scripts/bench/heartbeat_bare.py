"""The yardstick of the benches of heartbeats: a bare server that makes the same heartbeats durable, and does no more.

    python -m scripts.bench.heartbeat_bare FOLDER DATABASE_URL

It asks no permission, holds no lease, offers nothing and counts nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import grpc.aio
from sqlalchemy import select
from sqlmodel import col

from coordinator.database import Database
from coordinator.liveness import Beat, write_beats
from coordinator.models.nodes import Node
from coordinator.rpc.server import collect_garbage_rarely
from soterone.crypto.certificates import CertificateAuthority, TlsIdentity
from soterone.domain.ids import hash32
from soterone.rpc.channels import bind, caller_key_hash, server
from soterone.rpc.generated.coordinator_pb2 import CoordinatorMessage, HeartbeatAck
from soterone.rpc.generated.coordinator_pb2_grpc import AgentsServicer, add_AgentsServicer_to_server

BATCH_SECONDS = 0.08
PATIENCE_SECONDS = 6.0


class BareAgents(AgentsServicer):
    """Read, wait for the batch, acknowledge."""

    def __init__(self, accounts: dict[str, str]) -> None:
        self._accounts = accounts
        self.batch: list[tuple[Beat, asyncio.Future[None]]] = []

    async def Connect(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        """Take heartbeats for as long as they come."""
        account = self._accounts[hash32(caller_key_hash(context) or b"")]
        while (message := await context.read()) is not grpc.aio.EOF:
            seen = message.heartbeat.snapshot
            beat = Beat(
                account,
                seen.cpu_fraction,
                seen.memory_used_bytes,
                seen.memory_total_bytes,
                seen.disk_free_bytes,
                seen.load_1min,
            )
            durable = asyncio.get_running_loop().create_future()
            self.batch.append((beat, durable))
            await durable
            await context.write(CoordinatorMessage(ack=HeartbeatAck(sequence=message.sequence)))


async def _write(database: Database, agents: BareAgents) -> None:
    while True:
        await asyncio.sleep(BATCH_SECONDS)
        batch, agents.batch = agents.batch, []
        async with database.transaction() as session:
            await write_beats(session, (beat for beat, _ in batch), PATIENCE_SECONDS)
        for _, durable in batch:
            if not durable.done():
                durable.set_result(None)


async def main(folder: Path, database_url: str) -> None:
    """Serve until killed; prints its address as the coordinator does."""
    collect_garbage_rarely()
    async with Database(database_url) as database:
        async with database.reading() as session:
            known = await session.execute(select(col(Node.tls_key_hash), col(Node.account)))
            agents = BareAgents(dict(known.all()))  # type: ignore[abstract]
        serving = server()
        add_AgentsServicer_to_server(agents, serving)
        authority, key = CertificateAuthority.load(folder), (folder / "server.key").read_bytes()
        identity = TlsIdentity(key, authority.issue_server(key, ("127.0.0.1",)))
        port = bind(serving, "127.0.0.1:0", identity, authority.ca_pem)
        await serving.start()
        sys.stdout.write(json.dumps({"agents": f"127.0.0.1:{port}"}) + "\n")
        sys.stdout.flush()
        await _write(database, agents)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
