"""Whether living agents are ever taken for dead while every core is busy.

    python -m scripts.bench.false_alarms [--minutes 30] [--agents 5] [--nice 0]

A whole coordinator and real agents, each a process, beside one burner a core. The database is asked five times a second
who is online, and how old the oldest heartbeat is. Exit 1 at any false alarm.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlmodel import col

from coordinator.database import Database, database_now
from coordinator.liveness import is_online
from coordinator.models.nodes import NodeLiveness
from scripts.devnet.network import Devnet

_LOOK_SECONDS = 0.2
_SETTLE_SECONDS = 5.0
_BURN = "while True:\n    pass"


@dataclass(frozen=True, slots=True)
class Alarms:
    """What was seen: looks at which a living agent counted as offline, and the age that a heartbeat reached."""

    agents: int
    burners: int
    minutes: float
    looks: int
    false_alarms: int
    oldest_heartbeat_seconds: float


@contextmanager
def busy_cores(niceness: int) -> Iterator[int]:
    """Keep every core busy until the end of the block; yields how many processes do."""
    burners = [
        subprocess.Popen([sys.executable, "-c", _BURN], preexec_fn=lambda: os.nice(niceness))
        for _ in os.sched_getaffinity(0)
    ]
    try:
        yield len(burners)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def measure(folder: Path, agents: int, minutes: float, niceness: int) -> Alarms:
    """Bring a network up, keep the cores busy and watch."""
    network = Devnet(folder)
    try:
        network.start_chain()
        network.deploy()
        network.start_coordinator()
        for number in range(agents):
            name = f"agent-{number}"
            network.add_agent(name, "owner" if number < 2 else "mpc")
            network.start_agent(name)
        time.sleep(_SETTLE_SECONDS)
        url = f"sqlite+aiosqlite:///{(folder / 'coordinator' / 'coordinator.sqlite').absolute()}"
        with busy_cores(niceness) as burners:
            return asyncio.run(_watch(url, agents, burners, minutes))
    finally:
        network.stop()


async def _watch(url: str, agents: int, burners: int, minutes: float) -> Alarms:
    looks, alarms, oldest = 0, 0, 0.0
    end = time.monotonic() + 60 * minutes
    async with Database(url) as database:
        while time.monotonic() < end:
            online, age_seconds = await _look(database)
            looks, alarms, oldest = looks + 1, alarms + agents - online, max(oldest, age_seconds)
            await asyncio.sleep(_LOOK_SECONDS)
    return Alarms(agents, burners, minutes, looks, alarms, oldest)


async def _look(database: Database) -> tuple[int, float]:
    async with database.reading() as session:
        online = await session.scalar(select(func.count()).select_from(NodeLiveness).where(is_online()))
        age = await session.scalar(select(database_now() - func.min(col(NodeLiveness.heartbeat_at))))
    return int(online or 0), float(age or 0.0)


def main() -> int:
    """Print the figures as JSON; exit 1 at a false alarm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--agents", type=int, default=5)
    parser.add_argument("--nice", type=int, default=0, help="of the burners; 0: as important as the agents")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="soterone-alarms-") as folder:
        alarms = measure(Path(folder), options.agents, options.minutes, options.nice)
    print(json.dumps(asdict(alarms), indent=2))
    return int(bool(alarms.false_alarms))


if __name__ == "__main__":
    sys.exit(main())
