"""Nodes that hang, and a chain that fails for a moment: a detector does the rest of its work."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from node_agent.detection import rounds as rounds_module
from node_agent.detection.detector import Detector
from node_agent.detection.reach import Reach
from node_agent.detection.rounds import Rounds
from node_agent.detection.schedule import Schedule, Window
from node_agent.detection.verdict import Round
from soterone.chain.errors import ChainUnreachableError
from soterone.crypto.accounts import account
from soterone.domain.ids import Account
from soterone.domain.profiles import NodeProfile
from soterone.rpc.generated.peer_pb2 import ProbeReply

SPED_UP = 1_000
PROFILE = NodeProfile(name="n", endpoint="node:1", cpu_cores=1, memory_bytes=2**30, disk_bytes=2**30)
HANGING = {account(bytes([number] * 20)) for number in range(1, 5)}
OTHERS = {account(bytes([number] * 20)) for number in range(5, 15)}


@dataclass
class Table:
    rows: dict[tuple[int, Account], str] = field(default_factory=dict)

    def save(self, epoch: int, node: Account, findings: str) -> None:
        self.rows[epoch, node] = findings

    def get(self, epoch: int, node: Account) -> str | None:
        return self.rows.get((epoch, node))


class Line:
    """A node that answers probes; those of HANGING never answer a challenge."""

    def __init__(self, node: Reach, tls: object) -> None:
        self.node = node

    async def __aenter__(self) -> "Line":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def probe(self, epoch: int) -> ProbeReply:
        return ProbeReply(version=1)

    async def challenge(self, epoch: int, number: int, patience_seconds: float, *_: object) -> Round:
        if self.node.account in HANGING:
            await asyncio.sleep(patience_seconds)
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, nothing, nothing)
        await asyncio.sleep(6 / SPED_UP)
        return Round(1, 3, (), 1)


async def test_hanging_nodes_keep_a_detector_from_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of an epoch of an hour, a thousand times faster."""
    for name in ("LONGEST_CHALLENGE_SECONDS", "LONG_ENOUGH_SECONDS", "_SPARE_SECONDS"):
        monkeypatch.setattr(rounds_module, name, getattr(rounds_module, name) / SPED_UP)
    monkeypatch.setattr(rounds_module, "NodeLine", Line)
    given: dict[str, Any] = {"tls": None, "chain": None, "registry": None, "table": Table()}

    async def untold(node: Account) -> None: ...

    rounds = Rounds(**given, listening=lambda: True, load_in_heartbeats=untold)
    nodes = [(Reach(one, PROFILE, b""), 1) for one in sorted(HANGING | OTHERS)]
    now = time.time()
    await rounds.play(1, 0, Window(now, now + 0.285 * 3_600 / SPED_UP), nodes)
    challenged = {one for one in OTHERS if (seen := rounds.seen(1, one)) and seen.rounds}
    assert challenged == OTHERS


@dataclass
class Epochs:
    """What a detector needs of its parts to know how long an epoch lasts."""

    moment: float = 0.0
    tick_seconds: float = 1.0

    @property
    def clock(self) -> "Epochs":
        return self

    def now(self) -> float:
        return self.moment

    def schedule(self, epoch: int) -> Schedule:
        return Schedule(epoch, 100)

    async def pause(self, seconds: float) -> None:
        self.moment += seconds


@pytest.mark.parametrize(
    ("failures", "attempts"), [(2, 3), (50, 7)], ids=["a moment", "longer than the epoch"]
)
async def test_an_epochs_work_begins_again_while_the_epoch_lasts(failures: int, attempts: int) -> None:
    tried = list[int]()

    async def work(epoch: int) -> None:
        tried.append(epoch)
        if len(tried) <= failures:
            raise ChainUnreachableError("http://chain", "no answer")

    await Detector(cast(Any, Epochs()))._persistently(work, 0)
    assert len(tried) == attempts
