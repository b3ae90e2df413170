"""Nobody is lost for the coordinator's own silence: rpc processes stopped or killed, and the agents' own loop."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from node_agent.coordinator_link import CoordinatorLink
from node_agent.heartbeat import HeartbeatLoop, Rhythm
from scripts.bench.heartbeat_ground import BenchNode, Ground
from scripts.devnet.postgres import running_postgres
from scripts.devnet.process import Process
from soterone.domain.ids import QueryId
from soterone.rpc.generated.coordinator_pb2 import Offer, OfferAnswer, ResourceSnapshot

RHYTHM = Rhythm(interval_seconds=1.0, patience=3)
PATIENCE_SECONDS = RHYTHM.interval_seconds * RHYTHM.patience
SETTINGS = {"SOTER_HEARTBEAT_INTERVAL_SECONDS": "1.0", "SOTER_HEARTBEAT_PATIENCE": "3"}
AGENTS = 6


class NoWork:
    async def consider(self, offer: Offer) -> OfferAnswer:
        return OfferAnswer(query_id=offer.session.query_id)

    async def release(self, query_id: QueryId) -> None:
        return

    def query_ids(self) -> list[QueryId]:
        return []


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Ground]:
    """One rpc process over SQLite."""
    ground = Ground(tmp_path, settings=SETTINGS)
    try:
        ground.prepare()
        yield ground
    finally:
        ground.stop()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Ground]:
    """A ground for several rpc processes, over PostgreSQL."""
    with running_postgres() as postgres:
        ground = Ground(tmp_path, postgres.url(), SETTINGS)
        try:
            ground.prepare()
            yield ground
        finally:
            ground.stop()


@asynccontextmanager
async def beating(ground: Ground, address: str) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run the heartbeat loops of some nodes until the end of the block."""
    nodes = await ground.enrol(AGENTS)
    tasks = [asyncio.create_task(beat(node, address, ground.ca_pem)) for node in nodes]
    try:
        await fewest_online(ground, AGENTS, 0.0)
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def beat(node: BenchNode, address: str, ca_pem: bytes) -> None:
    link = CoordinatorLink(address, ca_pem, node.tls)
    try:
        await HeartbeatLoop(link, NoWork(), lambda: ResourceSnapshot(memory_total_bytes=1), RHYTHM).run()
    finally:
        await link.close()


async def fewest_online(ground: Ground, returned: int, moment: float) -> int:
    """Watch until so many nodes have beaten since a moment; returns how few counted as online meanwhile."""
    fewest = AGENTS
    async with asyncio.timeout(90):
        while True:
            online, back = await ground.alive_since(moment)
            fewest = min(fewest, online)
            if back >= returned:
                return fewest
            await asyncio.sleep(0.05)


async def fewest_during(ground: Ground, seconds: float) -> int:
    """Watch for some seconds; returns how few nodes counted as online meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await ground.alive_since(0.0))[0] == AGENTS:  # noqa: ASYNC110 (another process counts)
                await asyncio.sleep(0.05)
    return (await ground.alive_since(0.0))[0]


async def test_whoever_lives_stays_online_when_the_only_service_was_stopped(alone: Ground) -> None:
    async with beating(alone, alone.serve()) as agents:
        server = alone.servers[0]
        server.signal(signal.SIGSTOP)
        assert await fewest_during(alone, 2 * PATIENCE_SECONDS) == AGENTS
        agents[0].cancel()
        server.signal(signal.SIGCONT)
        moment = await alone.now()
        assert await fewest_online(alone, AGENTS - 1, moment) == AGENTS
        async with asyncio.timeout(60):
            while (await alone.alive_since(0.0))[0] != AGENTS - 1:  # noqa: ASYNC110 (another process counts)
                await asyncio.sleep(0.05)


async def test_agents_come_back_to_a_service_that_was_killed_and_nobody_is_lost(alone: Ground) -> None:
    address = alone.serve()
    async with beating(alone, address):
        alone.kill_server(signal.SIGKILL)
        assert await fewest_during(alone, PATIENCE_SECONDS) == AGENTS
        assert await asyncio.to_thread(alone.serve) == address
        assert await fewest_online(alone, AGENTS, await alone.now()) == AGENTS


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_agents_of_one_of_two_services_go_over_to_the_other(
    pair: Ground, fault: signal.Signals
) -> None:
    address = pair.serve()
    assert pair.serve() == address
    async with beating(pair, address):
        busier = max(pair.servers, key=lambda server: streams(server, address))
        assert streams(busier, address) >= AGENTS // 2
        busier.signal(fault)
        moment = await pair.now()
        assert await fewest_online(pair, AGENTS, moment + PATIENCE_SECONDS) == AGENTS
        busier.signal(signal.SIGCONT)


def streams(server: Process, address: str) -> int:
    """How many agents are connected to a process; it shares the address with others."""
    connections = psutil.Process(server.pid).net_connections(kind="tcp")
    established = [one for one in connections if one.status == psutil.CONN_ESTABLISHED]
    return sum(one.laddr.port == int(address.rsplit(":", 1)[1]) for one in established)
