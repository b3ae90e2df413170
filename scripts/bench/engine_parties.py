"""Five engine children on loopback: two data owners and three MPC nodes, each with its own directory and key."""

import asyncio
import datetime as dt
import json
import socket
from dataclasses import dataclass, field
from pathlib import Path

from node_agent.engines.base import (
    Limits,
    Link,
    Party,
    PrepareJob,
    PrepareResult,
    Progress,
    TrainJob,
    TrainResult,
)
from node_agent.engines.link_identity import LinkIdentity, new_link_identity
from node_agent.engines.process import EngineProcess
from node_agent.engines.spu.engine import SpuEngine
from node_agent.tables import TableSource
from soterone.domain.spec import Training

QUERY = "0x" + "ab" * 32
LIMITS = Limits(seconds=120)


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def new_links(accounts: list[str], **changes: float) -> tuple[list[Link], list[LinkIdentity]]:
    """Make the links of a session, one a party, with fresh certificates."""
    now, lifetime = dt.datetime.now(dt.UTC), dt.timedelta(hours=1)
    identities = [new_link_identity(account, now, lifetime) for account in accounts]
    parties = tuple(
        Party(rank, account, "127.0.0.1", port, identity.certificate_pem)
        for rank, (account, port, identity) in enumerate(
            zip(accounts, free_ports(len(accounts)), identities, strict=True)
        )
    )
    links = [
        Link(QUERY, 0, 1, rank, parties, identity.private_key_pem, **changes)
        for rank, identity in enumerate(identities)
    ]
    return links, identities


@dataclass(frozen=True, slots=True)
class Owner:
    """What one data owner brings."""

    account: str
    source: TableSource
    features: tuple[str, ...]
    label: str | None = None
    key: str = "id"


@dataclass(slots=True)
class Session:
    """One run: the results of all five, their progress, and where they worked."""

    root: Path
    prepared: list[PrepareResult] = field(default_factory=list)
    trained: list[TrainResult] = field(default_factory=list)
    progress: dict[str, list[Progress]] = field(default_factory=dict)

    def listen(self, name: str) -> "list[Progress]":
        return self.progress.setdefault(name, [])

    @property
    def result_shares(self) -> dict[int, bytes]:
        return {rank: Path(result.result_file).read_bytes() for rank, result in enumerate(self.trained)}

    @property
    def constants(self) -> dict[str, bytes]:
        files = [Path(result.constants_file) for result in self.prepared]
        return {json.loads(path.read_bytes())["account"]: path.read_bytes() for path in files}


def prepare_jobs(root: Path, owners: list[Owner], training: Training, minimum: int = 50) -> list[PrepareJob]:
    """Make the jobs of the owners, each in a directory of its own under `root`."""
    links, _ = new_links([owner.account for owner in owners])
    jobs = []
    for rank, owner in enumerate(owners):
        directory = root / f"owner-{rank}"
        directory.mkdir(exist_ok=True)
        jobs.append(
            PrepareJob(
                links[rank],
                str(directory),
                owner.source,
                owner.key,
                owner.features,
                owner.label,
                training,
                minimum,
            )
        )
    return jobs


def train_jobs(root: Path, owners: tuple[str, ...], training: Training, **changes: float) -> list[TrainJob]:
    """Make the jobs of the MPC nodes, which wait for a file of each owner in their directories."""
    links, _ = new_links([f"0xmpc{rank}" for rank in range(3)], **changes)
    jobs = []
    for rank, link in enumerate(links):
        directory = root / f"mpc-{rank}"
        directory.mkdir(exist_ok=True)
        shares = tuple(str(directory / f"owner-{owner}.bin") for owner in range(len(owners)))
        jobs.append(TrainJob(link, str(directory), owners, shares, training))
    return jobs


def upload(prepared: list[PrepareResult], jobs: list[TrainJob]) -> None:
    """Move each owner's shares to the nodes they are for."""
    for owner, result in enumerate(prepared):
        for rank, path in enumerate(result.share_files):
            Path(path).rename(jobs[rank].share_files[owner])


async def run_session(root: Path, owners: list[Owner], training: Training) -> Session:
    """Run all five children to the end."""
    session, engine = Session(root), SpuEngine()
    accounts = tuple(owner.account for owner in owners)
    nodes, sources = train_jobs(root, accounts, training), prepare_jobs(root, owners, training)
    processes: list[EngineProcess] = [await engine.warm(LIMITS) for _ in range(5)]
    training_tasks = [
        asyncio.create_task(engine.train(job, LIMITS, session.listen(f"mpc-{rank}").append, processes[rank]))
        for rank, job in enumerate(nodes)
    ]
    session.prepared = await asyncio.gather(
        *(
            engine.prepare(job, LIMITS, session.listen(f"owner-{rank}").append, processes[3 + rank])
            for rank, job in enumerate(sources)
        )
    )
    upload(session.prepared, nodes)
    session.trained = await asyncio.gather(*training_tasks)
    return session
