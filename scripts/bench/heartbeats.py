"""How many heartbeats an rpc service accepts, and how agents come back after it was killed.

    python -m scripts.bench.heartbeats [--agents 1000] [--seconds 30] [--databases sqlite postgresql]
    python -m scripts.bench.heartbeats --reconnect 4000
    python -m scripts.bench.heartbeats --restart

Real processes, real mutual TLS, one connection an agent, each heartbeat acknowledged after the commit of its batch.
Without an option it compares with a bare server on the same rows. Exit 1 when a floor is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from scripts.bench.heartbeat_clients import Clients, Kind
from scripts.bench.heartbeat_ground import BenchNode, Ground, cpu_seconds
from scripts.devnet.postgres import Postgres

CLIENT_PROCESSES = 2
PER_CORE_FLOOR = 6000.0
GROWTH_FLOOR = 0.05
RECONNECT_FLOOR_SECONDS = 15.0
RESTART_FLOOR_SECONDS = 2.0
_WARM_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Heartbeats acknowledged a second of the clock and a second of the server's processor; megabytes resident at the
    start and at the end; the database's own processor seconds a second (0 for SQLite, which is inside)."""

    per_second: float
    per_core: float
    start_megabytes: float
    end_megabytes: float
    database_cores: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rpc service beside the bare server, same machine, same rows, one after the other."""

    database: str
    agents: int
    seconds: float
    service: Rate
    bare: Rate
    ratio: float


@dataclass(frozen=True, slots=True)
class Return:
    """How agents came back after a kill; seconds since the new process said that it serves, and what it used of a
    processor until all were back."""

    agents: int
    first_seconds: float
    all_seconds: float
    server_cpu_seconds: float
    fewest_online: int
    refused: dict[str, int]


class Stage:
    """A prepared ground with its nodes and, when asked for, a PostgreSQL that writes to disk as it would in earnest."""

    def __init__(self, folder: Path, database: str, stack: ExitStack) -> None:
        self.postgres: Postgres | None = None
        if database == "postgresql":
            self.postgres = Postgres(folder, {"fsync": "on"})
            stack.callback(self.postgres.stop)
            self.postgres.start()
        self.ground = Ground(folder, self.postgres.url() if self.postgres else "")
        stack.callback(self.ground.stop)
        self.ground.prepare()

    def database_cpu_seconds(self) -> float:
        """Return what PostgreSQL's processes have used."""
        if self.postgres is None:
            return 0.0
        return sum(cpu_seconds(one.pid) for one in psutil.Process(self.postgres.process.pid).children())


@contextmanager
def _stage(database: str) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="soterone-heartbeats-") as folder, ExitStack() as stack:
        yield Stage(Path(folder), database, stack)


@contextmanager
def _clients(kind: Kind, nodes: list[BenchNode], address: str, ground: Ground) -> Iterator[Clients]:
    clients = Clients(kind, nodes, address, ground.ca_pem, CLIENT_PROCESSES)
    try:
        yield clients
    finally:
        clients.stop()


def compare(database: str, agents: int, seconds: float) -> Comparison:
    """Measure the bare server for a third of the time, then the service."""
    with _stage(database) as stage:
        nodes = asyncio.run(stage.ground.enrol(agents))
        bare = _rate(stage, nodes, stage.ground.serve_bare(), max(10.0, min(30.0, seconds)))
        stage.ground.stop_server()
        service = _rate(stage, nodes, stage.ground.serve(), seconds)
    return Comparison(database, agents, seconds, service, bare, service.per_core / bare.per_core)


def _rate(stage: Stage, nodes: list[BenchNode], address: str, seconds: float) -> Rate:
    with _clients("flood", nodes, address, stage.ground) as clients:
        while clients.seen().acknowledged < 2 * len(nodes):
            time.sleep(0.2)
        time.sleep(max(_WARM_SECONDS, seconds / 10))
        start, clock = _reading(stage, clients), time.monotonic()
        time.sleep(seconds)
        end, elapsed = _reading(stage, clients), time.monotonic() - clock
        refused = clients.seen().refused
    if refused:
        raise RuntimeError(f"streams were refused: {refused}")
    count = end.acknowledged - start.acknowledged
    return Rate(
        count / elapsed,
        count / (end.cpu_seconds - start.cpu_seconds),
        start.megabytes,
        end.megabytes,
        (end.database_cpu_seconds - start.database_cpu_seconds) / elapsed,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    acknowledged: int
    cpu_seconds: float
    database_cpu_seconds: float
    megabytes: float


def _reading(stage: Stage, clients: Clients) -> _Reading:
    pid = stage.ground.server_pid
    megabytes = psutil.Process(pid).memory_info().rss / 1e6
    return _Reading(
        clients.seen().acknowledged, cpu_seconds(pid), stage.database_cpu_seconds(), float(megabytes)
    )


def come_back(kind: Kind, agents: int) -> Return:
    """Let agents beat, kill the service as a power cut would, start it again and watch them return."""
    with _stage("sqlite") as stage:
        ground = stage.ground
        nodes = asyncio.run(ground.enrol(agents))
        with _clients(kind, nodes, ground.serve(), ground) as clients:
            asyncio.run(_until_alive(ground, agents, 0.0))
            ground.kill_server(signal.SIGKILL)
            ground.serve()
            return asyncio.run(_watch(ground, clients, agents))


async def _watch(ground: Ground, clients: Clients, agents: int) -> Return:
    ready, used, moment = time.monotonic(), cpu_seconds(ground.server_pid), await ground.now()
    before = clients.seen()
    while clients.seen().acknowledged == before.acknowledged:  # noqa: ASYNC110 (other processes count)
        await asyncio.sleep(0.01)
    first = time.monotonic() - ready
    fewest = await _until_alive(ground, agents, moment)
    everybody = time.monotonic() - ready
    used = cpu_seconds(ground.server_pid) - used
    refused = clients.seen().refused
    new = {reason: count - before.refused.get(reason, 0) for reason, count in refused.items()}
    return Return(
        agents, first, everybody, used, fewest, {reason: count for reason, count in new.items() if count > 0}
    )


async def _until_alive(ground: Ground, agents: int, moment: float, seconds: float = 180.0) -> int:
    """Wait until all have beaten since a moment; returns how few counted as online meanwhile."""
    fewest = agents
    async with asyncio.timeout(seconds):
        while True:
            online, returned = await ground.alive_since(moment)
            fewest = min(fewest, online)
            if returned == agents:
                return fewest
            await asyncio.sleep(0.25)


def missed(result: Comparison | Return) -> list[str]:
    """Return the floors that were missed."""
    if isinstance(result, Comparison):
        rate = result.service
        growth = rate.end_megabytes / rate.start_megabytes - 1
        floors = {
            f"{rate.per_core:.0f} heartbeats a core and second < {PER_CORE_FLOOR:.0f}": rate.per_core
            < PER_CORE_FLOOR,
            f"memory grew by {growth:.1%}": growth > GROWTH_FLOOR,
        }
    else:
        floors = {
            f"first after {result.first_seconds:.2f} s": result.first_seconds > RESTART_FLOOR_SECONDS,
            f"all after {result.all_seconds:.2f} s": result.all_seconds > RECONNECT_FLOOR_SECONDS,
            f"refused: {result.refused}": bool(result.refused),
            f"only {result.fewest_online} online": result.fewest_online < result.agents,
        }
    return [sentence for sentence, is_missed in floors.items() if is_missed]


def main() -> int:
    """Print one JSON object a measurement; exit 1 when a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--databases", nargs="+", choices=("sqlite", "postgresql"))
    parser.add_argument("--reconnect", type=int, metavar="AGENTS")
    parser.add_argument("--restart", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    complaints: list[str] = []
    for result in _results(options):
        complaints += missed(result)
        print(json.dumps({**asdict(result), "floors_missed": missed(result)}, indent=2), flush=True)
    return int(bool(complaints))


def _results(options: argparse.Namespace) -> Iterator[Comparison | Return]:
    if options.reconnect or options.restart:
        yield come_back("steady", options.reconnect) if options.reconnect else come_back("real", 20)
        return
    for database in options.databases or ("sqlite", "postgresql"):
        yield compare(database, options.agents, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
