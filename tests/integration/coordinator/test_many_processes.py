"""Several processes of every service over one PostgreSQL: any of them may die or freeze, and so may the database."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import httpx
import pytest
import pytest_asyncio
from fixtures.agents import first_line
from fixtures.chain import DEVELOPER_KEYS, Anvil
from fixtures.live_coordinator import ClientNode, LiveCoordinator, beat, eventually

from coordinator.database import Database
from coordinator.settings import load
from scripts.devnet.postgres import Postgres
from soterone.chain.deployment import Deployment
from soterone.crypto.messages import Domain
from soterone.domain.ids import Account

FRONT, BACK = ("api", "rpc"), ("follower", "sender", "reconciler")
START_SECONDS = 300.0


@dataclass
class Fleet:
    """Processes of one coordinator by name: those called front run `FRONT`, those called back run `BACK`."""

    folder: Path
    postgres: Postgres
    deployment: Deployment
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    addresses: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def start(self, *names: str) -> None:
        """Start processes at once and wait for all."""
        for name in names:
            command = [sys.executable, "-m", "coordinator", "serve", "--data-dir", str(self.data_dir)]
            for service in FRONT if name.startswith("front") else BACK:
                command += ["--only", service]
            with (self.folder / f"{name}.log").open("a") as log:
                self.running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        for name in names:
            line = first_line(self.running[name], START_SECONDS)
            assert line, (self.folder / f"{name}.log").read_text()[-2000:]
            self.addresses[name] = json.loads(line)

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.running[name].pid, number)

    def kill(self, name: str) -> None:
        """End a process as a crash would."""
        process = self.running.pop(name)
        process.kill()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()

    def stop(self) -> None:
        for name in list(self.running):
            self.running[name].send_signal(signal.SIGCONT)
            self.kill(name)

    def seen(self) -> LiveCoordinator:
        """The coordinator as nodes and customers see it."""
        registry = Domain(self.deployment.chain_id, Account(self.deployment.address_of("NodeRegistry")))
        settings = load(self.data_dir)
        return LiveCoordinator(settings, self.addresses["front-1"], Database(settings.database), registry)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, anvil: Anvil, deployment: Deployment) -> Iterator[Fleet]:
    """Two processes in front and two behind, over a PostgreSQL that may be killed."""
    folder = tmp_path_factory.mktemp("fleet")
    deployment.save(folder / "deployment.json")
    (folder / "payer.key").write_text(DEVELOPER_KEYS[0])
    fleet = Fleet(folder, Postgres(folder), deployment)
    try:
        fleet.postgres.start()
        prepare(fleet, anvil)
        fleet.start("front-1", "back-1")
        fleet.start("front-2", "back-2")
        yield fleet
    finally:
        fleet.stop()
        fleet.postgres.stop()


def prepare(fleet: Fleet, anvil: Anvil) -> None:
    data = ("--data-dir", str(fleet.data_dir))
    files = (
        "--deployment",
        str(fleet.folder / "deployment.json"),
        "--key-file",
        str(fleet.folder / "payer.key"),
    )
    init = ("--chain-rpc", anvil.url, *files, "--database-url", fleet.postgres.url())
    for arguments in (("init", *data, *init), ("migrate", *data)):
        subprocess.run([sys.executable, "-m", "coordinator", *arguments], check=True, timeout=START_SECONDS)


@pytest_asyncio.fixture
async def seen(fleet: Fleet) -> AsyncIterator[LiveCoordinator]:
    """The coordinator, whole again at the end."""
    live = fleet.seen()
    yield live
    await live.database.close()
    fleet.start(*({"front-1", "front-2", "back-1", "back-2"} - set(fleet.running)))


async def registers(seen: LiveCoordinator) -> bool:
    """Register a fresh node: rpc, sender and follower must work together for it."""
    try:
        await ClientNode(seen).register()
    except grpc.aio.AioRpcError:
        return False
    return True


def complaints(address: str) -> dict[str, str]:
    found: dict[str, str] = httpx.get(f"{address}/readyz", timeout=60).json()["complaints"]
    return found


async def test_two_of_each_share_addresses_and_work(fleet: Fleet, seen: LiveCoordinator) -> None:
    assert fleet.addresses["front-1"] == fleet.addresses["front-2"]
    nodes = [ClientNode(seen) for _ in range(4)]
    await asyncio.gather(*(node.register() for node in nodes))
    async with nodes[0].agents() as agents:
        assert await beat(agents.Connect(), 1) == 1


@pytest.mark.parametrize("victim", ["back-1", "front-1"])
async def test_the_work_of_the_dead_is_taken_up(fleet: Fleet, seen: LiveCoordinator, victim: str) -> None:
    assert await registers(seen)
    fleet.kill(victim)
    await eventually(lambda: registers(seen), bool, 60)
    async with seen.rest() as web:
        assert (await web.get("/healthz")).status_code == 200


@pytest.mark.parametrize("victim", ["back-1", "back-2"])
async def test_a_frozen_process_does_not_keep_its_work(
    fleet: Fleet, seen: LiveCoordinator, victim: str
) -> None:
    fleet.signal(victim, signal.SIGSTOP)
    try:
        await eventually(lambda: registers(seen), bool, 60)
    finally:
        fleet.signal(victim, signal.SIGCONT)
    assert await registers(seen)


async def test_every_service_survives_the_death_of_the_database(fleet: Fleet, seen: LiveCoordinator) -> None:
    health = fleet.addresses["back-1"]["health"]
    await eventually(lambda: asyncio.to_thread(complaints, health), lambda found: not found, 60)
    fleet.postgres.kill()
    try:
        await eventually(lambda: asyncio.to_thread(complaints, health), lambda found: "database" in found, 60)
    finally:
        fleet.postgres.start()
    await eventually(lambda: asyncio.to_thread(complaints, health), lambda found: not found, 60)
    assert all(process.poll() is None for process in fleet.running.values())
    await eventually(lambda: registers(seen), bool, 60)
