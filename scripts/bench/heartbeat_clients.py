"""One client process of the benches of heartbeats: many agents, each with its own certificate and connection.

`flood` sends a node's next heartbeat as soon as the last one is acknowledged, so that none is ever taken together
with another. `steady` keeps an agent's rhythm; `real` runs the agent's own loop, which a machine can do for few.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import ssl
import tempfile
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal

import structlog

from node_agent.coordinator_link import CoordinatorLink
from node_agent.heartbeat import HeartbeatLoop, Rhythm
from node_agent.sessions.backoff import Backoff
from scripts.bench.heartbeat_ground import BenchNode
from scripts.bench.light_agent import SNAPSHOT, LightStream, connect
from soterone.domain.ids import QueryId
from soterone.rpc.generated.coordinator_pb2 import Offer, OfferAnswer

Kind = Literal["flood", "steady", "real"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client process has seen since its start."""

    acknowledged: int
    refused: dict[str, int]


class Clients:
    """Client processes that share the nodes. `seen()` asks them; `stop()` ends them."""

    def __init__(
        self, kind: Kind, nodes: list[BenchNode], address: str, ca_pem: bytes, processes: int
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for number in range(processes):
            ours, theirs = spawn.Pipe()
            arguments = (kind, nodes[number::processes], address, ca_pem, theirs)
            process = spawn.Process(target=_run, args=arguments, daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def seen(self) -> Seen:
        """Return the sum over all processes; waits for each to answer."""
        acknowledged, refused = 0, Counter[str]()
        for pipe in self._pipes:
            pipe.send(None)
        for pipe in self._pipes:
            answer: Seen = pipe.recv()
            acknowledged += answer.acknowledged
            refused.update(answer.refused)
        return Seen(acknowledged, dict(refused))

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in self._processes if process.pid is not None]

    def stop(self) -> None:
        """End every process."""
        for process in self._processes:
            process.kill()
            process.join()


def _run(kind: Kind, nodes: list[BenchNode], address: str, ca_pem: bytes, pipe: Connection) -> None:
    tally = _Tally()
    structlog.configure(processors=[tally.note])
    asyncio.run(_all(kind, nodes, address, ca_pem, pipe, tally))


class _Tally:
    """Counts acknowledgements, and complaints by their reason."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.refused: Counter[str] = Counter()

    def note(self, logger: Any, method: str, event: Any) -> Any:
        if method == "warning":
            self.refused[str(event.get("reason"))] += 1
        raise structlog.DropEvent


async def _all(
    kind: Kind, nodes: list[BenchNode], address: str, ca_pem: bytes, pipe: Connection, tally: _Tally
) -> None:
    asyncio.get_running_loop().add_reader(pipe.fileno(), _answer, pipe, tally)
    one = {"flood": _flood, "steady": _steady, "real": _real}[kind]
    await asyncio.gather(*(one(node, address, ca_pem, tally) for node in nodes))


def _answer(pipe: Connection, tally: _Tally) -> None:
    pipe.recv()
    pipe.send(Seen(tally.acknowledged, dict(tally.refused)))


async def _flood(node: BenchNode, address: str, ca_pem: bytes, tally: _Tally) -> None:
    """Send each heartbeat as soon as the last one is acknowledged, and check that this one was."""
    expected = 1

    def on_answer(stream: LightStream, sequence: int) -> None:
        nonlocal expected
        if sequence != expected:
            raise RuntimeError(f"heartbeat {expected} was answered by {sequence}")
        tally.acknowledged += 1
        expected += 1
        stream.beat(expected)

    stream = await connect(address, _trust(node, ca_pem), on_answer)
    stream.beat(expected)
    tally.refused[await stream.ended] += 1


async def _steady(node: BenchNode, address: str, ca_pem: bytes, tally: _Tally) -> None:
    """Beat every two seconds, and come back with jitter as an agent's channel does."""

    def on_answer(stream: LightStream, sequence: int) -> None:
        tally.acknowledged += 1

    trust = _trust(node, ca_pem)
    backoff = Backoff(first_seconds=0.2, longest_seconds=1.0, factor=1.6)
    waits = backoff.waits()
    while True:
        try:
            stream = await connect(address, trust, on_answer)
        except OSError as error:
            tally.refused[type(error).__name__] += 1
        else:
            tally.refused[await _beat(stream)] += 1
            waits = backoff.waits()
        await asyncio.sleep(next(waits))


async def _beat(stream: LightStream) -> str:
    sequence = 0
    while not stream.ended.done():
        sequence += 1
        stream.beat(sequence)
        await asyncio.wait([stream.ended], timeout=Rhythm().interval_seconds)
    stream.close()
    return stream.ended.result()


def _trust(node: BenchNode, ca_pem: bytes) -> ssl.SSLContext:
    trust = ssl.create_default_context(cadata=ca_pem.decode())
    trust.set_alpn_protocols(["h2"])
    with tempfile.NamedTemporaryFile() as file:
        file.write(node.tls.key_pem + node.tls.certificate_pem)
        file.flush()
        trust.load_cert_chain(file.name)
    return trust


class _NoWork:
    async def consider(self, offer: Offer) -> OfferAnswer:
        return OfferAnswer(query_id=offer.session.query_id)

    async def release(self, query_id: QueryId) -> None:
        return

    def query_ids(self) -> list[QueryId]:
        return []


class _CountedLink(CoordinatorLink):
    tally: _Tally

    def heard(self) -> None:
        super().heard()
        self.tally.acknowledged += 1


async def _real(node: BenchNode, address: str, ca_pem: bytes, tally: _Tally) -> None:
    link = _CountedLink(address, ca_pem, node.tls)
    link.tally = tally
    await HeartbeatLoop(link, _NoWork(), lambda: SNAPSHOT, Rhythm()).run()
