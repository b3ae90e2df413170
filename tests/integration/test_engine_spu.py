"""The SPU engine as it runs: five child processes over mutual TLS on loopback, and what ends them."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from fixtures.engine_tables import CLINIC, HOSPITAL, wdbc_owners, write_csv

from node_agent.engines.base import EngineError, Limits, PrepareJob, TrainJob, TrainResult
from node_agent.engines.scratch import private_scratch
from node_agent.engines.spu.engine import SpuEngine
from node_agent.tables import read_table
from scripts.bench.engine_parties import (
    LIMITS,
    Owner,
    Session,
    new_links,
    prepare_jobs,
    run_session,
    train_jobs,
)
from soterone.client.model import Model
from soterone.client.reconstruct import reconstruct
from soterone.client.reference import ClearTable, train_in_clear
from soterone.domain.failures import FailureReason
from soterone.domain.spec import Training

TRAINING = Training(epochs=2, batch_size=64, l2=0.01, class_weight="balanced")


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="soter-test-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def session() -> Iterator[tuple[Session, list[Owner]]]:
    root = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="soter-test-"))
    try:
        owners = wdbc_owners(root)
        yield asyncio.run(run_session(root, owners, TRAINING)), owners
    finally:
        shutil.rmtree(root)


def in_the_clear(owners: list[Owner]) -> list[ClearTable]:
    tables = [read_table(owner.source, owner.key, owner.features, owner.label) for owner in owners]
    return [
        ClearTable(
            owner.account, table.keys, dict(zip(owner.features, table.features.T, strict=True)), table.label
        )
        for owner, table in zip(owners, tables, strict=True)
    ]


def test_the_model_is_that_of_the_same_training_in_the_clear(session: tuple[Session, list[Owner]]) -> None:
    run, owners = session
    model = reconstruct(run.result_shares).with_constants(run.constants)
    clear = train_in_clear(in_the_clear(owners), TRAINING)
    assert model.weights.keys() == clear.weights.keys()
    assert (model.training_rows, model.holdout_rows) == (clear.training_rows, clear.holdout_rows)
    assert model.training_rows % TRAINING.batch_size != 0, "the last batch must be a partial one"
    np.testing.assert_allclose(
        [*model.weights.values(), model.bias], [*clear.weights.values(), clear.bias], atol=1e-3
    )
    assert abs(model.metrics["auc"] - clear.metrics["auc"]) <= 1e-3
    assert abs(model.metrics["accuracy"] - clear.metrics["accuracy"]) <= 1e-3
    assert abs(model.metrics["log_loss"] - clear.metrics["log_loss"]) <= 1e-3
    assert model.metrics["auc"] > 0.95


def test_any_two_shares_open_it_and_a_garbage_third_is_named(session: tuple[Session, list[Owner]]) -> None:
    shares = session[0].result_shares
    model = reconstruct(shares)
    for left_out in range(3):
        two = {rank: content for rank, content in shares.items() if rank != left_out}
        assert reconstruct(two).weights == model.weights
        garbage = shares[left_out][:-16] + os.urandom(16)
        found = reconstruct(shares | {left_out: garbage})
        assert (found.weights, found.garbage_ranks) == (model.weights, (left_out,))


def test_raw_rows_are_scored_as_the_clear_model_scores_them(session: tuple[Session, list[Owner]]) -> None:
    run, owners = session
    tables = in_the_clear(owners)
    raw = {table.account: {name: column[:20] for name, column in table.columns.items()} for table in tables}
    model = reconstruct(run.result_shares).with_constants(run.constants)
    clear = train_in_clear(tables, TRAINING)
    np.testing.assert_allclose(model.predict(raw), clear.predict(raw), atol=1e-3)


def test_every_phase_is_reported_and_nothing_but_results_is_left(
    session: tuple[Session, list[Owner]],
) -> None:
    run, _ = session
    assert [(step.phase, step.done) for step in run.progress["mpc-0"]] == [
        ("start", 1),
        ("link", 1),
        ("wait", 1),
        ("compile", 1),
        ("train", 1),
        ("train", 2),
        ("evaluate", 1),
    ]
    assert [step.phase for step in run.progress["owner-1"]] == [
        "start",
        "link",
        "read",
        "align",
        *["share"] * 3,
    ]
    left = {str(path.relative_to(run.root)) for path in run.root.rglob("*") if path.is_file()}
    node = ("owner-0.bin", "owner-1.bin", "checkpoint-1.bin", "checkpoint-2.bin", "result-share.bin")
    owner_files = {"owner-0/constants.json", "owner-1/constants.json", "a.csv", "b.csv"}
    assert left == owner_files | {f"mpc-{rank}/{name}" for rank in range(3) for name in node}


async def test_training_goes_on_from_a_checkpoint(
    session: tuple[Session, list[Owner]], directory: Path
) -> None:
    run, _ = session
    engine, jobs = SpuEngine(), train_jobs(directory, (HOSPITAL, CLINIC), TRAINING)
    for rank, job in enumerate(jobs):
        for name in ("owner-0.bin", "owner-1.bin", "checkpoint-1.bin"):
            shutil.copy(run.root / f"mpc-{rank}" / name, job.directory)
        jobs[rank] = replace(job, checkpoint_files=(f"{job.directory}/checkpoint-1.bin",), resume_epoch=1)
    results = await asyncio.gather(*(engine.train(job, LIMITS) for job in jobs))
    resumed = model_of(results)
    whole = reconstruct(run.result_shares)
    np.testing.assert_allclose([*resumed.weights.values()], [*whole.weights.values()], atol=1e-4)


def model_of(results: list[TrainResult]) -> Model:
    return reconstruct({rank: Path(result.result_file).read_bytes() for rank, result in enumerate(results)})


def files_but_tables(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and path.suffix != ".csv"]


async def failures(jobs: list[PrepareJob] | list[TrainJob]) -> list[EngineError]:
    engine = SpuEngine()
    calls = [
        engine.prepare(job, LIMITS) if isinstance(job, PrepareJob) else engine.train(job, LIMITS)
        for job in jobs
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    errors = [result for result in results if isinstance(result, EngineError)]
    assert len(errors) == len(jobs), results
    return errors


def small_owners(root: Path, second_ids: range, bad: str = "1.5") -> list[Owner]:
    own = [[number, number % 2, number * 0.5] for number in range(80)]
    other: list[list[object]] = [
        [number, bad if number == second_ids[0] else number] for number in second_ids
    ]
    return [
        Owner(HOSPITAL, write_csv(root / "a.csv", ["id", "y", "a"], own), ("a",), "y"),
        Owner(CLINIC, write_csv(root / "b.csv", ["id", "b"], other), ("b",)),
    ]


async def test_bad_data_at_one_owner_ends_both_with_its_sentence(directory: Path) -> None:
    jobs = prepare_jobs(directory, small_owners(directory, range(80), "marked-value"), TRAINING)
    errors = await failures(jobs)
    assert {error.reason for error in errors} == {FailureReason.BAD_DATA}
    assert {error.sentence.partition(":")[0] for error in errors} == {
        "The column 'b' has text where numbers are needed"
    }
    assert not any("marked-value" in error.sentence + error.detail for error in errors)
    assert not files_but_tables(directory)


@pytest.mark.parametrize(("ids", "minimum"), [(range(60, 140), 50), (range(100, 180), 0)])
async def test_too_few_common_rows_end_both(directory: Path, ids: range, minimum: int) -> None:
    jobs = prepare_jobs(directory, small_owners(directory, ids), TRAINING, minimum)
    jobs[1] = replace(jobs[1], minimum_common_rows=0)
    errors = await failures(jobs)
    assert {error.reason for error in errors} == {FailureReason.TOO_FEW_COMMON_ROWS}
    assert {f"fewer than {max(2, minimum)} rows" in error.sentence for error in errors} == {True}


async def test_two_labels_are_refused(directory: Path) -> None:
    owners = small_owners(directory, range(80))
    errors = await failures(prepare_jobs(directory, [owners[0], owners[0]], TRAINING))
    assert {error.sentence.partition(":")[0] for error in errors} == {
        "Exactly one of the two owners must have the label column"
    }


async def test_a_rogue_certificate_is_refused(directory: Path) -> None:
    jobs = train_jobs(directory, (HOSPITAL, CLINIC), TRAINING, connect_seconds=4.0, silence_seconds=4.0)
    _, strangers = new_links(["rogue"])
    rogue = strangers[0]
    own = replace(jobs[2].link.parties[2], certificate_pem=rogue.certificate_pem)
    parties = (*jobs[2].link.parties[:2], own)
    jobs[2] = replace(
        jobs[2], link=replace(jobs[2].link, parties=parties, private_key_pem=rogue.private_key_pem)
    )
    errors = await failures(jobs)
    assert {error.reason for error in errors} == {FailureReason.ENGINE_ERROR}
    assert {error.sentence.partition(":")[0] for error in errors} == {"The computing parties could not link"}


async def test_a_lost_node_ends_the_others(directory: Path) -> None:
    engine, jobs = SpuEngine(), train_jobs(directory, (HOSPITAL, CLINIC), TRAINING, silence_seconds=2.0)
    children = [await engine.warm(LIMITS) for _ in jobs]
    linked = [asyncio.Event() for _ in jobs]
    runs = [
        asyncio.create_task(
            engine.train(
                job, LIMITS, lambda step, event=event: event.set() if step.phase == "link" else None, child
            )
        )
        for job, child, event in zip(jobs, children, linked, strict=True)
    ]
    await asyncio.gather(*(event.wait() for event in linked))
    runs[0].cancel()
    lost, *others = await asyncio.gather(*runs, return_exceptions=True)
    assert isinstance(lost, asyncio.CancelledError)
    assert not psutil.pid_exists(children[0].process.pid)
    for error in others:
        assert isinstance(error, EngineError)
        assert error.sentence.startswith("A computing party was lost")


async def test_limits_of_time_and_memory_end_a_run(directory: Path) -> None:
    engine, job = SpuEngine(), train_jobs(directory, (HOSPITAL, CLINIC), TRAINING)[1]
    with pytest.raises(EngineError, match=r"limit of 0\.5 seconds"):
        await engine.train(job, Limits(seconds=0.5))
    with pytest.raises(EngineError, match="more memory than its limit"):
        await engine.train(job, Limits(memory_bytes=50 * 2**20))
    assert not (Path(job.directory) / "scratch").exists()


def test_a_child_dies_with_its_parent(directory: Path) -> None:
    program = (
        "import asyncio, os\n"
        "from node_agent.engines.base import Limits\n"
        "from node_agent.engines.spu.engine import SpuEngine\n"
        "async def main():\n"
        "    child = await SpuEngine().warm(Limits())\n"
        "    print(child.process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        deadline = time.monotonic() + 20
        while "libspu" not in "".join(entry.path for entry in child.memory_maps()):
            assert time.monotonic() < deadline, "the child never loaded its libraries"
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
    assert child.wait(timeout=5) is None or not child.is_running()


def test_scratch_on_a_disk_is_refused() -> None:
    on_disk = next(part.mountpoint for part in psutil.disk_partitions(all=True) if part.mountpoint == "/proc")
    with (
        pytest.raises(EngineError, match="must be in memory"),
        private_scratch(Path(on_disk) / "scratch"),
    ):
        pass


def test_the_agents_side_loads_no_computing_library() -> None:
    program = (
        "import sys, node_agent.engines.spu.engine\n"
        "heavy = {'spu', 'jax', 'duckdb', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_a_job_that_does_not_parse_is_not_quoted() -> None:
    environment = {**os.environ, "SOTER_ENGINE_PARENT": str(os.getpid())}
    job = b'{"kind": "train", "link": {"private_key_pem": ["a secret key"]}}\n'
    command = [sys.executable, "-m", "node_agent.engines.spu"]
    ended = subprocess.run(command, input=job, env=environment, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["failed"]["reason"] == FailureReason.ENGINE_ERROR
    assert b"ValidationError" in ended.stderr
    assert b"secret" not in ended.stdout + ended.stderr
