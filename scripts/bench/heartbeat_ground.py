"""What the benches of heartbeats stand on: a coordinator's rpc service as a process, and thousands of registered nodes.

The nodes have real keys and certificates by the coordinator's authority; their rows are put into the database directly.
"""

from __future__ import annotations

import secrets
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import case, func, insert, select
from sqlmodel import col

from coordinator import migrations
from coordinator.database import Database
from coordinator.liveness import is_online
from coordinator.models.nodes import Node, NodeLiveness, NodeStatus
from scripts.devnet.network import BIN, Devnet
from scripts.devnet.process import Process
from soterone.crypto.accounts import account
from soterone.crypto.certificates import (
    CertificateAuthority,
    TlsIdentity,
    certificate_request,
    key_hash_of_key,
    new_tls_key,
)
from soterone.domain.ids import Account, hash32
from soterone.domain.profiles import NodeProfile

_PROFILE = NodeProfile(
    name="bench", endpoint="127.0.0.1:40000", cpu_cores=4, memory_bytes=8 * 2**30, disk_bytes=2**36
)


@dataclass(frozen=True, slots=True)
class BenchNode:
    """A registered node: what its agent would have in its folder."""

    account: Account
    tls: TlsIdentity


class Ground:
    """A chain, a migrated database and one rpc service; `stop()` ends what it started."""

    def __init__(
        self, folder: Path, database_url: str = "", settings: Mapping[str, str] | None = None
    ) -> None:
        """`settings` are environment variables of the coordinator, as SOTER_HEARTBEAT_INTERVAL_SECONDS."""
        environment = {"SOTER_DATABASE_URL": database_url} if database_url else {}
        self._environment = {**environment, **(settings or {})}
        self._network = Devnet(folder, environment=self._environment)
        self._url = database_url
        self.servers: list[Process] = []

    @property
    def data_dir(self) -> Path:
        """The coordinator's folder."""
        return self._network.folder / "coordinator"

    @property
    def database_url(self) -> str:
        """Where the rows are."""
        return self._url or f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'coordinator.sqlite'}"

    @property
    def ca_pem(self) -> bytes:
        """The authority of all certificates."""
        return (self.data_dir / "ca.pem").read_bytes()

    def prepare(self) -> None:
        """Start a chain, deploy, and make the coordinator's folder and database."""
        self._network.start_chain()
        self._network.deploy()
        self._network.initialise_coordinator()

    def serve(self) -> str:
        """Start an rpc service, one more if one runs, and return the address for agents."""
        command = [str(BIN / "soter-coordinator"), "serve", "--data-dir", str(self.data_dir), "--only", "rpc"]
        return self._start(f"rpc-{len(self.servers)}", command, self._environment)

    def serve_bare(self) -> str:
        """Start the yardstick instead and return its address."""
        module = "scripts.bench.heartbeat_bare"
        command = [sys.executable, "-m", module, str(self.data_dir), self.database_url]
        return self._start("bare", command, {})

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> str:
        server = Process(name, command, self._network.folder / "logs" / f"{name}.log", environment)
        self.servers.append(server)
        server.start()
        return str(server.wait_ready()["agents"])

    @property
    def server_pid(self) -> int:
        """The id of the process that was started last."""
        return self.servers[-1].pid

    def kill_server(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started last, and wait for its end."""
        self.servers[-1].signal(number)
        self.stop_server()

    def stop_server(self) -> None:
        """End the process that was started last."""
        self.servers[-1].stop()

    def stop(self) -> None:
        """End every service and the chain."""
        for server in self.servers:
            server.stop()
        self._network.stop()

    async def enrol(self, count: int) -> list[BenchNode]:
        """Make `count` active nodes; offline until their first heartbeat."""
        authority = CertificateAuthority.load(self.data_dir)
        nodes = [_new_node(authority) for _ in range(count)]
        async with Database(self.database_url) as database:
            await migrations.check(database)
            now = await database.now()
            async with database.transaction() as session:
                await session.execute(insert(Node), [_row(node, now) for node in nodes])
                await session.execute(insert(NodeLiveness), [{"account": node.account} for node in nodes])
        return nodes

    async def alive_since(self, moment: float) -> tuple[int, int]:
        """Return how many nodes are online, and how many of them by a heartbeat after a moment of the database."""
        async with Database(self.database_url) as database, database.reading() as session:
            returned = func.sum(case((col(NodeLiveness.heartbeat_at) > moment, 1), else_=0))
            found = await session.execute(select(func.count(), func.coalesce(returned, 0)).where(is_online()))
            online, since = found.one()
        return int(online), int(since)

    async def now(self) -> float:
        """Return the database's clock."""
        async with Database(self.database_url) as database:
            return await database.now()


def cpu_seconds(pid: int) -> float:
    """Return what a process has used so far, user and system."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _new_node(authority: CertificateAuthority) -> BenchNode:
    who = account(secrets.token_bytes(20))
    key = new_tls_key()
    return BenchNode(who, TlsIdentity(key, authority.issue(certificate_request(key, who), who)))


def _row(node: BenchNode, now: float) -> dict[str, object]:
    return {
        "account": node.account,
        "operator": node.account,
        "roles": 1,
        "version": 256,
        "incarnation": 1,
        "status": NodeStatus.ACTIVE,
        "tls_key_hash": hash32(key_hash_of_key(node.tls.key_pem)),
        "profile_hash": _PROFILE.hash,
        "profile_version": 1,
        "profile_json": _PROFILE.canonical().decode(),
        "certificate_pem": node.tls.certificate_pem.decode(),
        "registered_at": now,
    }
