"""Five agents train a model with the real engine, children and links; the customer alone opens it."""

import asyncio
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
from fixtures.recording_coordinator import RecordingCoordinator, until
from sklearn.datasets import load_breast_cancer

from node_agent.engines.spu.engine import SpuEngine
from node_agent.sessions.delivery import CONSTANTS_RANK
from node_agent.sessions.ports import OwnDataset, SessionLimits
from soterone.chain.events import QueryCleanup
from soterone.client.reconstruct import reconstruct
from soterone.crypto.messages import ResultShare, recover
from soterone.crypto.sealing import share_context
from soterone.domain.failures import FailureReason
from soterone.domain.ids import query_id

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
async def running(query: Query, folder: Path) -> AsyncIterator[tuple[RecordingCoordinator, list[QueryAgent]]]:
    coordinator = RecordingCoordinator(query.authority)
    await coordinator.start()
    limits = SessionLimits(join_patience_seconds=30.0)
    agents = [
        QueryAgent(node, folder / f"agent-{i}", query, coordinator, SpuEngine(), limits, witness_seconds=5.0)
        for i, node in enumerate(query.nodes)
    ]
    for agent in agents:
        await agent.start()
        agent.sessions._context = replace(agent.context, hearsay_seconds=1.0)
    answers = [await agent.offer() for agent in agents]
    assert [answer.sentence for answer in answers] == [""] * 5
    for agent in agents:
        await agent.sessions.handle(query.event())
    try:
        yield coordinator, agents
    finally:
        await asyncio.gather(*(agent.stop() for agent in agents))
        await coordinator.stop()


def children() -> set[int]:
    """Return this process's children: engines, and the chain that other tests share. The killed count until reaped."""
    return {child.pid for child in psutil.Process(os.getpid()).children()}


async def test_the_customer_opens_a_model_that_nobody_else_saw(folder: Path) -> None:
    before = children()
    query = new_query(*tables(folder), epochs=5, batch_size=64)
    started = time.monotonic()
    async with running(query, folder) as (coordinator, agents):
        phases = {"linked", "align", "share", "train", "deliver"}
        await until(lambda: {agent.state for agent in agents} == {"done"}, seconds=90)
        print(f"five agents: {time.monotonic() - started:.1f} s")
        shares, constants = {}, {}
        for header, sealed in coordinator.heard.results:
            plain = query.result_key.open(sealed, share_context(query.id, 0, header.rank))
            message = ResultShare(query.id, 0, header.rank, header.share_hash)
            if header.rank == CONSTANTS_RANK:
                constants[str(recover(LEDGER, message, header.signature))] = plain
            else:
                shares[header.rank] = plain
        model = reconstruct(shares).with_constants(constants)
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
    async with running(query, folder) as (coordinator, agents):
        await until(lambda: {agent.state for agent in agents} == {"failed"}, seconds=60)
        await until(lambda: coordinator.heard.failures)
        assert {one.reason for one in coordinator.heard.failures} == {reason}
        assert sentence in coordinator.heard.failures[0].sentence
        assert "large" not in str(coordinator.heard.failures)
        await until(lambda: children() <= before)
