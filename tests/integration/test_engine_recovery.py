"""An MPC node is lost while it trains: two survivors lend their checkpoint, and a new trio goes on from it."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.engine_tables import CLINIC, HOSPITAL, wdbc_owners

from node_agent.engines.base import EngineError, LendJob, LendResult, Progress, TrainJob, TrainResult
from node_agent.engines.spu.engine import SpuEngine
from scripts.bench.engine_parties import LIMITS, Session, run_session, train_jobs
from soterone.client.model import Model
from soterone.client.reconstruct import reconstruct
from soterone.domain.share_file import ShareFile
from soterone.domain.spec import Training

TRAINING = Training(epochs=6, batch_size=64, l2=0.01, class_weight="balanced")
LONGER = TRAINING.model_copy(update={"epochs": 60})
LOST_AFTER = 3
ENGINE = SpuEngine()


@dataclass(frozen=True, slots=True)
class Lost:
    """A run whose node of one rank was killed after an epoch, and the checkpoints that each node has told of."""

    rank: int
    checkpoints: dict[int, dict[int, Path]]

    @property
    def survivors(self) -> tuple[int, int]:
        lower, higher = (rank for rank in range(3) if rank != self.rank)
        return lower, higher

    @property
    def common_epoch(self) -> int:
        lower, higher = self.survivors
        return max(self.checkpoints[lower].keys() & self.checkpoints[higher].keys())


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="soter-test-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def whole() -> Iterator[Session]:
    """A run that nothing interrupts, with the files that it leaves."""
    root = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="soter-test-"))
    try:
        yield asyncio.run(run_session(root, wdbc_owners(root), TRAINING))
    finally:
        shutil.rmtree(root)


def jobs_with_data(whole: Session, root: Path, generation: int = 0, **changes: float) -> list[TrainJob]:
    """Make the jobs of a trio whose owners have shared already."""
    root.mkdir(exist_ok=True)
    jobs = train_jobs(root, (HOSPITAL, CLINIC), TRAINING, **changes)
    for rank, job in enumerate(jobs):
        for name in job.share_files:
            file = ShareFile.from_bytes((whole.root / f"mpc-{rank}" / Path(name).name).read_bytes())
            header = file.header.model_copy(update={"generation": generation})
            Path(name).write_bytes(ShareFile(header, file.arrays).to_bytes())
        jobs[rank] = replace(job, link=replace(job.link, generation=generation))
    return jobs


async def lose(whole: Session, root: Path, rank: int) -> Lost:
    """Train until a node has told of an epoch, kill it as a crash does, and stop the others as their agents do.

    The job has more epochs than will be run, so that it cannot end before the kill; an epoch knows nothing of that.
    """
    jobs = [replace(job, training=LONGER) for job in jobs_with_data(whole, root)]
    children = [await ENGINE.warm(LIMITS) for _ in jobs]
    checkpoints: dict[int, dict[int, Path]] = {at: {} for at in range(3)}

    def listen(at: int, step: Progress) -> None:
        if step.checkpoint_file is not None and step.done <= LOST_AFTER:
            kept = root / f"kept-{at}-{step.done}"
            with suppress(FileNotFoundError):
                shutil.copy(step.checkpoint_file, kept)
                checkpoints[at][step.done] = kept
        if at == rank and step.phase == "train" and step.done == LOST_AFTER:
            children[rank].process.kill()

    runs = [
        asyncio.create_task(
            ENGINE.train(job, LIMITS, lambda step, at=at: listen(at, step), children[at])  # type: ignore[misc]
        )
        for at, job in enumerate(jobs)
    ]
    with pytest.raises(EngineError, match="signal 9"):
        await runs[rank]
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    return Lost(rank, checkpoints)


async def lend(root: Path, checkpoints: dict[int, Path]) -> dict[int, LendResult]:
    """Have the two nodes that hold a checkpoint lend it, each in a directory of its own."""
    ranks = sorted(checkpoints)
    jobs = {}
    for rank, other in (ranks, ranks[::-1]):
        directory = root / f"lend-{rank}"
        directory.mkdir()
        jobs[rank] = LendJob(str(directory), str(checkpoints[rank]), rank, other)
    results = await asyncio.gather(*(ENGINE.lend(job, LIMITS) for job in jobs.values()))
    return dict(zip(jobs, results, strict=True))


def borrowing(jobs: list[TrainJob], epoch: int) -> list[TrainJob]:
    """Have jobs wait for the parts of two lenders."""
    names = ("first.part", "second.part")
    return [
        replace(job, checkpoint_files=tuple(f"{job.directory}/{name}" for name in names), resume_epoch=epoch)
        for job in jobs
    ]


def deliver(lent: dict[int, LendResult], jobs: list[TrainJob]) -> None:
    """Move each lender's part to the node that it is for."""
    for place, lender in enumerate(sorted(lent)):
        for rank, job in enumerate(jobs):
            Path(lent[lender].part_files[rank]).rename(job.checkpoint_files[place])


def model_of(results: list[TrainResult]) -> Model:
    return reconstruct({rank: Path(result.result_file).read_bytes() for rank, result in enumerate(results)})


def components(paths: list[str]) -> set[int]:
    """Return every 64-bit number in the share files."""
    files = [ShareFile.from_bytes(Path(path).read_bytes()) for path in paths]
    return {int(number) for file in files for pairs in file.arrays.values() for number in pairs.ravel()}


@pytest.mark.parametrize("rank", [0, 1, 2])
async def test_a_new_trio_goes_on_from_what_two_survivors_lend(
    whole: Session, directory: Path, rank: int
) -> None:
    lost = await lose(whole, directory, rank)
    epoch = lost.common_epoch
    assert 1 <= epoch <= LOST_AFTER
    jobs = borrowing(jobs_with_data(whole, directory / "new", generation=1), epoch)
    steps: list[Progress] = []
    runs = [asyncio.create_task(ENGINE.train(job, LIMITS, steps.append)) for job in jobs]
    lent = await lend(directory, {rank: lost.checkpoints[rank][epoch] for rank in lost.survivors})
    deliver(lent, jobs)
    results = await asyncio.gather(*runs)

    resumed, uninterrupted = model_of(results), reconstruct(whole.result_shares)
    assert (resumed.generation, resumed.epochs) == (1, TRAINING.epochs)
    assert resumed.weights.keys() == uninterrupted.weights.keys()
    np.testing.assert_allclose(
        [*resumed.weights.values(), resumed.bias],
        [*uninterrupted.weights.values(), uninterrupted.bias],
        atol=2e-3,
    )
    assert resumed.metrics == pytest.approx(uninterrupted.metrics, abs=1e-4)
    told = sorted({step.done for step in steps if step.phase == "train"})
    assert told == list(range(epoch, TRAINING.epochs + 1))
    before = [str(path) for kept in lost.checkpoints.values() for path in kept.values()]
    borrowed = [path for job in jobs for path in job.checkpoint_files]
    assert not components(before) & components(borrowed), "a component went round as it was"


async def test_a_finished_model_is_only_evaluated(whole: Session, directory: Path) -> None:
    jobs = jobs_with_data(whole, directory)
    for rank, job in enumerate(jobs):
        file = whole.trained[rank].checkpoint_files[-1]
        jobs[rank] = replace(job, checkpoint_files=(file,), resume_epoch=TRAINING.epochs)
    steps: list[Progress] = []
    results = await asyncio.gather(
        *(ENGINE.train(job, LIMITS, steps.append if rank == 0 else None) for rank, job in enumerate(jobs))
    )
    model, finished = model_of(results), reconstruct(whole.result_shares)
    assert (model.weights, model.bias, model.epochs) == (finished.weights, finished.bias, finished.epochs)
    assert model.metrics == pytest.approx(finished.metrics, abs=1e-4)
    told = [(step.phase, step.done) for step in steps]
    assert told == [("start", 1), ("link", 1), ("wait", 1), ("compile", 1), ("train", 6), ("evaluate", 1)]


async def failures(jobs: list[TrainJob]) -> list[EngineError]:
    ended = await asyncio.gather(*(ENGINE.train(job, LIMITS) for job in jobs), return_exceptions=True)
    errors = [error for error in ended if isinstance(error, EngineError)]
    assert len(errors) == len(jobs), ended
    return errors


def forged(path: Path) -> None:
    """Change the last number of a part, as a node that lends nonsense would."""
    path.write_bytes(path.read_bytes()[:-8] + os.urandom(8))


def of_another_epoch(path: Path) -> None:
    file = ShareFile.from_bytes(path.read_bytes())
    path.write_bytes(ShareFile(file.header.model_copy(update={"epoch": 4}), file.arrays).to_bytes())


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage")


@pytest.mark.parametrize("spoil", [forged, of_another_epoch, garbage])
async def test_a_part_that_does_not_fit_ends_all_three_alike(
    whole: Session, directory: Path, spoil: Callable[[Path], None]
) -> None:
    jobs = borrowing(jobs_with_data(whole, directory), 5)
    lent = await lend(directory, {rank: whole.root / f"mpc-{rank}" / "checkpoint-5.bin" for rank in (0, 2)})
    spoil(Path(lent[2].part_files[1]))
    deliver(lent, jobs)
    errors = await failures(jobs)
    assert {error.mismatch for error in errors} == {True}
    assert len({error.sentence for error in errors}) == 1


async def test_nodes_that_would_begin_differently_do_not_begin(whole: Session, directory: Path) -> None:
    jobs = jobs_with_data(whole, directory)
    own = whole.trained[0].checkpoint_files[-1]
    jobs[0] = replace(jobs[0], checkpoint_files=(own,), resume_epoch=TRAINING.epochs)
    assert {error.mismatch for error in await failures(jobs)} == {True}


async def test_data_that_one_node_cannot_read_ends_the_others_with_its_sentence(
    whole: Session, directory: Path
) -> None:
    jobs = jobs_with_data(whole, directory)
    garbage(Path(jobs[1].share_files[0]))
    errors = await failures(jobs)
    assert {error.sentence for error in errors} == {
        "The owners' shares do not fit together: one cannot be read."
    }
    assert [error.heard for error in errors] == [True, False, True]
    assert not any(error.mismatch for error in errors)


async def test_survivors_of_a_lost_node_end_with_a_sentence(whole: Session, directory: Path) -> None:
    jobs = [replace(job, training=LONGER) for job in jobs_with_data(whole, directory, silence_seconds=4.0)]
    children = [await ENGINE.warm(LIMITS) for _ in jobs]

    def kill(step: Progress) -> None:
        if step.phase == "train":
            children[1].process.kill()

    ended = await asyncio.gather(
        *(
            ENGINE.train(job, LIMITS, kill if rank == 1 else None, children[rank])
            for rank, job in enumerate(jobs)
        ),
        return_exceptions=True,
    )
    assert [type(error) for error in ended] == [EngineError] * 3
    assert "signal 9" in str(ended[1])
    assert all("computing party was" in str(error) for error in (ended[0], ended[2]))


async def test_a_checkpoint_of_another_rank_is_not_lent(whole: Session, directory: Path) -> None:
    job = LendJob(str(directory), str(whole.root / "mpc-0" / "checkpoint-5.bin"), rank=1, other_rank=2)
    with pytest.raises(EngineError, match="another rank") as refused:
        await ENGINE.lend(job, LIMITS)
    assert refused.value.mismatch
    assert not os.listdir(directory)  # noqa: PTH208
