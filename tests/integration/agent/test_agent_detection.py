"""Detectors probe nodes over real mutual TLS, and challenges are worked off by real child processes."""

import asyncio
import itertools
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import psutil
import pytest
from fixtures.detection import EPOCH, Ground, NoSessions
from fixtures.participants import Node

from node_agent.detection import desk
from node_agent.detection.desk import PROBES_AN_EPOCH
from node_agent.detection.plan import Declared
from node_agent.detection.probing import NodeLine, TooSlowError
from node_agent.detection.reach import Reach
from node_agent.detection.speed import core_speed
from node_agent.detection.verdict import ROUNDS, Opinion, ProfileVerdict, judge_profile
from node_agent.peers.server import PeerServer, PeerService
from node_agent.resources import usable_cores
from soterone.crypto.certificates import CertificateAuthority
from soterone.domain.ids import QueryId, hash32
from soterone.domain.profiles import NodeProfile
from soterone.domain.roles import Role, pack_version
from soterone.rpc.channels import peer_channel
from soterone.rpc.generated.peer_pb2 import ChallengeRun, ProbeRequest
from soterone.rpc.generated.peer_pb2_grpc import PeerStub

PATIENCE_SECONDS = 300.0
CORE_SPEED = 20_000
"""What a core of today does; declared by liars, so that a busy machine cannot hide them."""
QUERY = QueryId(hash32(b"\7" * 32))
SMALL = NodeProfile(name="small", endpoint="127.0.0.1:1", cpu_cores=2, memory_bytes=64 * 2**20, disk_bytes=0)


@asynccontextmanager
async def refused(code: grpc.StatusCode, text: str) -> AsyncIterator[None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert caught.value.code() is code
    assert text in (caught.value.details() or "")


@pytest.fixture
def ground() -> Ground:
    return Ground()


@pytest.fixture
def node(ground: Ground) -> Node:
    return ground.node(Role.MPC_NODE)


@pytest.fixture
def detector(ground: Ground, node: Node) -> Node:
    """One that the chain drew for the node."""
    one = ground.node()
    ground.draw[node.account] = (one.account,)
    return one


async def challenged(line: NodeLine, number: int = 0) -> object:
    return await line.challenge(EPOCH, number, PATIENCE_SECONDS, secrets.token_bytes, time.monotonic)


async def judged(ground: Ground, detector: Node, reach: Reach) -> ProfileVerdict:
    async with ground.line(detector, reach) as line:
        rounds = [
            await line.challenge(EPOCH, number, PATIENCE_SECONDS, secrets.token_bytes, time.monotonic)
            for number in range(ROUNDS)
        ]
    return judge_profile(Declared.of(reach.profile), rounds)


def workers() -> list[psutil.Process]:
    return [
        one
        for one in psutil.Process(os.getpid()).children(recursive=True)
        if "node_agent.detection.worker" in one.cmdline()
    ]


async def until_no_workers() -> None:
    async with asyncio.timeout(10):
        while workers():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.02)


async def test_this_machine_tells_the_truth(ground: Ground, node: Node, detector: Node) -> None:
    truth = SMALL.model_copy(update={"cpu_cores": usable_cores(), "core_speed": core_speed()})
    async with ground.serving(node, truth) as reach:
        found = await judged(ground, detector, reach)
    assert found.opinion is Opinion.TRUE, found.sentence
    assert found.measured is not None
    assert found.measured.cores == usable_cores()


async def test_eight_times_its_cores_is_found_in_two_rounds(
    ground: Ground, node: Node, detector: Node
) -> None:
    lie = SMALL.model_copy(
        update={"cpu_cores": 8 * usable_cores(), "memory_bytes": 2**30, "core_speed": CORE_SPEED}
    )
    async with ground.serving(node, lie) as reach:
        found = await judged(ground, detector, reach)
    assert found.opinion is Opinion.FALSE, found.sentence
    assert found.measured is not None
    assert found.measured.cores <= 2 * usable_cores()
    assert not workers()


async def test_a_probe_tells_what_the_node_declares_and_how_it_stands(
    ground: Ground, node: Node, detector: Node
) -> None:
    async with ground.serving(node, SMALL, computing=[QUERY]) as reach, ground.line(detector, reach) as line:
        told = await line.probe(EPOCH)
    assert NodeProfile.model_validate_json(told.profile_json) == SMALL
    assert told.version == pack_version("0.1.0")
    assert list(told.computing) == [b"\7" * 32]
    assert told.snapshot.memory_total_bytes == SMALL.memory_bytes
    assert told.snapshot.load_1min > 0


async def test_only_who_was_drawn_is_answered(ground: Ground, node: Node, detector: Node) -> None:
    other, stranger = ground.node(), Ground(authority=ground.authority).node()
    async with ground.serving(node, SMALL) as reach:
        for caller, text in ((other, "drew the caller for no judgement"), (stranger, "no active node")):
            async with ground.line(caller, reach) as line:
                async with refused(grpc.StatusCode.PERMISSION_DENIED, text):
                    await line.probe(EPOCH)
                async with refused(grpc.StatusCode.PERMISSION_DENIED, text):
                    await challenged(line)
        foreign = Ground(CertificateAuthority.create(), ground.draw, ground.callers).node()
        async with ground.line(foreign, reach) as line, refused(grpc.StatusCode.UNAVAILABLE, ""):
            await line.probe(EPOCH)
    assert not workers()


async def test_another_epoch_is_not_answered(ground: Ground, node: Node, detector: Node) -> None:
    async with (
        ground.serving(node, SMALL) as reach,
        ground.line(detector, reach) as line,
        refused(grpc.StatusCode.UNAVAILABLE, f"The epoch here is {EPOCH}"),
    ):
        await line.probe(EPOCH + 1)


async def test_a_detector_gets_one_challenge_a_round(ground: Ground, node: Node, detector: Node) -> None:
    async with ground.serving(node, SMALL) as reach, ground.line(detector, reach) as line:
        for number in range(ROUNDS):
            await challenged(line, number)
            async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "challenges of this round"):
                await challenged(line, number)
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "begins with its epoch"):
            await challenged(line, ROUNDS)
        ground.draw.epoch = EPOCH + 1
        async with ground.line(detector, reach) as later:
            await later.challenge(EPOCH + 1, 0, PATIENCE_SECONDS, secrets.token_bytes, time.monotonic)


async def test_probes_are_counted(ground: Ground, node: Node, detector: Node) -> None:
    async with ground.serving(node, SMALL) as reach, ground.line(detector, reach) as line:
        for _ in range(PROBES_AN_EPOCH):
            await line.probe(EPOCH)
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "often enough"):
            await line.probe(EPOCH)


async def test_nothing_is_computed_for_a_detector_while_a_query_computes(
    ground: Ground, node: Node, detector: Node
) -> None:
    computing = [QUERY]
    async with (
        ground.serving(node, SMALL, computing=computing) as reach,
        ground.line(detector, reach) as line,
    ):
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "A query computes here"):
            await challenged(line)
        assert not workers()
        computing.clear()
        await challenged(line)


async def test_a_query_that_begins_ends_the_challenge(ground: Ground, node: Node, detector: Node) -> None:
    computing: list[QueryId] = []
    big = SMALL.model_copy(update={"cpu_cores": 64, "memory_bytes": 2**33})
    async with ground.serving(node, big, computing=computing) as reach, ground.line(detector, reach) as line:
        answer = asyncio.create_task(challenged(line))
        async with asyncio.timeout(20):
            while not workers():  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(0.01)
        computing.append(QUERY)
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "A query computes here"):
            await answer
        await until_no_workers()


async def test_a_detector_that_hangs_up_leaves_nothing_running(
    ground: Ground, node: Node, detector: Node
) -> None:
    big = SMALL.model_copy(update={"cpu_cores": 64, "memory_bytes": 2**33})
    async with ground.serving(node, big) as reach:
        async with ground.line(detector, reach) as line:
            answer = asyncio.create_task(challenged(line))
            async with asyncio.timeout(20):
                while not workers():  # noqa: ASYNC110 - the kernel tells nobody
                    await asyncio.sleep(0.01)
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)
        await until_no_workers()


async def test_a_detector_that_is_too_slow_itself_gives_up(
    ground: Ground, node: Node, detector: Node
) -> None:
    hours = itertools.count(0, 3600)
    async with ground.serving(node, SMALL) as reach, ground.line(detector, reach) as line:
        with pytest.raises(TooSlowError):
            await line.challenge(EPOCH, 0, PATIENCE_SECONDS, secrets.token_bytes, lambda: float(next(hours)))
    await until_no_workers()


@pytest.mark.parametrize(
    "greedy",
    [
        ChallengeRun(seed=bytes(32), lanes=3, steps=1, memory_kib=64, passes=1),
        ChallengeRun(seed=bytes(32), lanes=1, steps=1, memory_kib=2**20, passes=1),
        ChallengeRun(seed=bytes(32), lanes=1, steps=2**20, memory_kib=64, passes=1),
    ],
)
async def test_a_challenge_asks_no_more_than_the_profile_warrants(
    ground: Ground, node: Node, detector: Node, greedy: ChallengeRun
) -> None:
    async with ground.serving(node, SMALL) as reach:
        channel = peer_channel(reach.profile.endpoint, reach.certificate_pem, detector.tls)
        call = PeerStub(channel).Challenge(timeout=20)
        await call.write(ChallengeRun(epoch=EPOCH))
        await call.read()
        await call.write(greedy)
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "than its profile warrants"):
            await call.read()
        await channel.close()
    assert not workers()


async def test_a_detector_that_dawdles_loses_its_turn(
    ground: Ground, node: Node, detector: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "CHALLENGE_SECONDS", 10.0)  # the honest one, too, must get done in it
    honest = ground.node()
    ground.draw[node.account] = (detector.account, honest.account)
    async with ground.serving(node, SMALL) as reach:
        channel = peer_channel(reach.profile.endpoint, reach.certificate_pem, detector.tls)
        first, second = PeerStub(channel).Challenge(timeout=60), PeerStub(channel).Challenge(timeout=60)
        await first.write(ChallengeRun(epoch=EPOCH))
        await first.read()
        await second.write(ChallengeRun(epoch=EPOCH))
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "one challenge at a time"):
            await second.read()
        async with ground.line(honest, reach) as line:
            await challenged(line)
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "has its time"):
            await first.read()
        await channel.close()


async def test_a_network_without_detectors_answers_none(ground: Ground, node: Node, detector: Node) -> None:
    service = PeerService(NoSessions(), ground.callers, 1)
    server = PeerServer(service, node.tls, ground.authority.ca_pem, "127.0.0.1:0")
    await server.start()
    channel = peer_channel(f"127.0.0.1:{server.port}", node.tls.certificate_pem, detector.tls)
    async with refused(grpc.StatusCode.PERMISSION_DENIED, ""):
        await PeerStub(channel).Probe(ProbeRequest(epoch=EPOCH), timeout=5)
    await channel.close()
    await server.stop(0)
