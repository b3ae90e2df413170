"""Five agents train a model with the real engine, children and links; the customer alone opens it."""

import csv
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from fixtures.participants import LEDGER, POSITION, Query, new_query, own_dataset
from fixtures.query_agents import QueryAgent
from fixtures.query_network import Network, network_of
from fixtures.recording_coordinator import until
from sklearn.datasets import load_breast_cancer

from node_agent.engines.spu.engine import SpuEngine
from node_agent.sessions import checkpoints
from node_agent.sessions.delivery import CONSTANTS_RANK
from node_agent.sessions.ports import OwnDataset
from soterone.chain.events import QueryCleanup
from soterone.client.model import Model
from soterone.client.reconstruct import reconstruct
from soterone.crypto.messages import ResultShare, recover
from soterone.crypto.sealing import share_context
from soterone.domain.failures import FailureReason
from soterone.domain.ids import query_id
from soterone.rpc.generated.coordinator_pb2 import ProgressReport

EPOCHS = 30
FIRST, SECOND = ("mean radius", "mean texture"), ("worst area", "worst smoothness")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="soter-test-") as path:
        yield Path(path)


def tables(
    folder: Path, spoil: dict[int, str] | None = None, shift: int = 0
) -> tuple[OwnDataset, OwnDataset]:
    """Write two CSV files of WDBC with overlapping ids; `spoil` puts text into rows of one column."""
    data = load_breast_cancer()
    names = list(data.feature_names)
    left = [[i, int(data.target[i]), *(data.data[i, names.index(n)] for n in FIRST)] for i in range(400)]
    right = [[i + shift, *(data.data[i, names.index(n)] for n in SECOND)] for i in reversed(range(100, 500))]
    for row, text in (spoil or {}).items():
        right[row][2] = text
    return (
        own_dataset("left", (*FIRST, "y"), write(folder / "left.csv", ["id", "y", *FIRST], left)),
        own_dataset("right", SECOND, write(folder / "right.csv", ["id", *SECOND], right)),
    )


def write(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@asynccontextmanager
async def running(query: Query, folder: Path, spares: int = 0) -> AsyncIterator[Network]:
    async with network_of(query, folder, spares, engine_of=SpuEngine) as network:
        for agent in network.agents:
            agent.sessions._context = replace(agent.context, hearsay_seconds=1.0, witness_seconds=5.0)
        await network.offer()
        await network.dispatch()
        yield network


def children() -> set[int]:
    """Return this process's children: engines, and the chain that other tests share. The killed count until reaped."""
    return {child.pid for child in psutil.Process(os.getpid()).children()}


def opened(network: Network) -> Model:
    """Open what was delivered in the newest generation, as the customer does."""
    shares: dict[int, bytes] = {}
    constants: dict[str, bytes] = {}
    query, generation = network.query, network.query.generation
    for header, sealed in network.heard.results:
        if header.generation != generation:
            continue
        plain = query.result_key.open(sealed, share_context(query.id, generation, header.rank))
        message = ResultShare(query.id, generation, header.rank, header.share_hash)
        if header.rank == CONSTANTS_RANK:
            constants[str(recover(LEDGER, message, header.signature))] = plain
        else:
            shares[header.rank] = plain
    return reconstruct(shares).with_constants(constants)


async def test_the_customer_opens_a_model_that_nobody_else_saw(folder: Path) -> None:
    before = children()
    query = new_query(*tables(folder), epochs=5, batch_size=64)
    started = time.monotonic()
    async with running(query, folder) as network:
        coordinator, agents = network.coordinator, network.agents
        phases = {"linked", "align", "share", "train", "deliver"}
        await until(lambda: {agent.state for agent in agents} == {"done"}, seconds=90)
        print(f"five agents: {time.monotonic() - started:.1f} s")
        model = opened(network)
        assert model.metrics["auc"] > 0.9
        assert {name for _, name in model.weights} == {*FIRST, *SECOND}
        await until(lambda: phases <= {one.phase for one in coordinator.heard.progress})
        assert children() <= before
        for agent in agents:
            assert not list(agent.context.workspaces.scratch_root.rglob("*.*"))
            await agent.sessions.handle(QueryCleanup(POSITION, query_id(query.id)))
        await until(lambda: len(coordinator.heard.cleanups) == 5)
        assert [list(agent.context.workspaces.root.iterdir()) for agent in agents] == [[]] * 5


@pytest.mark.parametrize(
    ("changes", "reason", "sentence"),
    [
        ({"spoil": {3: "large"}}, FailureReason.BAD_DATA, "'worst smoothness' has text"),
        ({"shift": 350}, FailureReason.TOO_FEW_COMMON_ROWS, "rows"),
    ],
)
async def test_what_is_wrong_with_the_data_is_what_the_customer_reads_first(
    folder: Path, changes: dict[str, object], reason: FailureReason, sentence: str
) -> None:
    before = children()
    query = new_query(*tables(folder, **changes))
    async with running(query, folder) as network:
        coordinator, agents = network.coordinator, network.agents
        await until(lambda: {agent.state for agent in agents} == {"failed"}, seconds=60)
        await until(lambda: coordinator.heard.failures)
        assert {one.reason for one in coordinator.heard.failures} == {reason}
        assert sentence in coordinator.heard.failures[0].sentence
        assert "large" not in str(coordinator.heard.failures)
        await until(lambda: children() <= before)


async def test_the_model_of_a_successor_is_that_of_an_uninterrupted_run(folder: Path) -> None:
    before, query = children(), new_query(*tables(folder), epochs=EPOCHS)
    async with running(replace(query, id=b"\xcd" * 32), folder / "whole") as network:
        await until(lambda: network.states == {"done"}, seconds=180)
        whole = opened(network)
    async with running(query, folder / "broken", spares=2) as network:
        await until(lambda: all(furthest(agent) >= 3 for agent in network.mpcs), seconds=120)
        lost = network.mpcs[1]
        await lost.stop()
        started = time.monotonic()
        await network.replace(lost)
        await until(lambda: any("epoch" in one.detail for one in told_in(network, 1)), seconds=120)
        print(f"MPCUpdated to the next epoch: {time.monotonic() - started:.1f} s")
        resumed = min(int(one.detail.split()[1]) for one in told_in(network, 1) if "epoch" in one.detail)
        await until(lambda: network.states == {"done"}, seconds=120)
        model = opened(network)
    assert resumed >= 3
    assert network.heard.failures == []
    assert model.weights.keys() == whole.weights.keys()
    assert max(abs(model.weights[one] - whole.weights[one]) for one in whole.weights) < 2e-3
    assert abs(model.metrics["auc"] - whole.metrics["auc"]) < 1e-3
    await until(lambda: children() <= before)


def furthest(agent: QueryAgent) -> int:
    """Return the last epoch of which a node keeps the checkpoint."""
    workspace = agent.session._workspace if agent.session else None
    found = checkpoints.kept(workspace) if workspace else []
    return found[0].epoch if found else 0


def told_in(network: Network, generation: int) -> list[ProgressReport]:
    return [one for one in network.heard.progress if one.generation == generation]
