"""An MPC node's job: link, wait for the owners' shares, train epoch by epoch, evaluate, hand over its share."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import spu
from spu import libspu

from node_agent.engines.base import RESULT_FILE, SCRATCH, EngineError, TrainJob, TrainResult
from node_agent.engines.child import Reporter
from node_agent.engines.scratch import private_scratch
from node_agent.engines.spu.agreement import agree
from node_agent.engines.spu.checkpoint import Origin, load_origin
from node_agent.engines.spu.program import epoch_program, evaluation_program
from node_agent.engines.spu.session import lost_peers_named, session
from node_agent.engines.spu.shares import MPC_NODES, runtime_config, to_pairs, to_share
from node_agent.engines.spu.training_data import TrainingData, load_training_data
from soterone.domain.failures import FailureReason
from soterone.domain.share_file import METRICS, Pairs, ShareFile

READY_POLL_SECONDS = 0.1
CHECKPOINTS_KEPT = 2
MODEL = ("w", "b")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a node needs before it can train: its data, where it begins, and the compiled programs it will run."""

    data: TrainingData
    origin: Origin
    epoch: libspu.Executable | None
    evaluation: libspu.Executable | None

    @classmethod
    def of(cls, job: TrainJob) -> Self:
        """Read the files of the job and compile; EngineError when the files do not fit."""
        data = load_training_data(job)
        origin, shapes = load_origin(job, data), data.shapes
        epoch = epoch_program(shapes, job.training) if origin.epoch < job.training.epochs else None
        return cls(data, origin, epoch, evaluation_program(shapes) if shapes.holdout_rows else None)


def train(job: TrainJob, reporter: Reporter) -> TrainResult:
    """Run the job. No value is opened here: what leaves is this rank's share of the model and the metrics."""
    if len(job.link.parties) != MPC_NODES:
        sentence = "Exactly three MPC nodes can compute: the order must name three."
        raise EngineError(FailureReason.ENGINE_ERROR, sentence)
    with (
        private_scratch(Path(job.directory) / SCRATCH) as scratch,
        session(job.link, scratch, job.link.silence_seconds) as link,
    ):
        reporter.progress("link")
        files = [Path(path) for path in (*job.share_files, *job.checkpoint_files)]
        deadline = time.monotonic() + job.share_wait_seconds
        _wait_for_all(link, lambda: all(file.exists() for file in files), deadline)
        reporter.progress("wait")
        prepared = _prepare(job, link)
        reporter.progress("compile")
        return _Run(job, link, reporter, prepared).train()


def _wait_for_all(
    link: libspu.link.Context, ready: Callable[[], bool], deadline: float = float("inf")
) -> None:
    """Return once every node is ready; the nodes keep telling each other how far they are."""
    while True:
        with lost_peers_named("the MPC nodes waited for each other"):
            flags = link.all_gather("ready" if ready() else "waiting")
        if set(flags) == {"ready"}:
            return
        if time.monotonic() > deadline:
            sentence = (
                "The owners' shares, or those of a checkpoint, did not arrive at every MPC node in time."
            )
            raise EngineError(FailureReason.ENGINE_ERROR, sentence)
        time.sleep(READY_POLL_SECONDS)


def _prepare(job: TrainJob, link: libspu.link.Context) -> Prepared:
    """Read and compile in a thread, as nobody may keep silent for so long; return when all nodes agree to begin."""
    worker = ThreadPoolExecutor(1)
    future = worker.submit(Prepared.of, job)
    worker.shutdown(wait=False)
    _wait_for_all(link, future.done)
    try:
        prepared = future.result()
    except EngineError as error:
        agree(link, error)
        raise
    agree(link, prepared.origin)
    return prepared


class _Run:
    """One training: the runtime, the data in it, and the files it leaves."""

    def __init__(
        self, job: TrainJob, link: libspu.link.Context, reporter: Reporter, prepared: Prepared
    ) -> None:
        self._job, self._reporter, self._prepared = job, reporter, prepared
        self._runtime = spu.Runtime(link, runtime_config())
        for name, pairs in (prepared.data.arrays | prepared.origin.model).items():
            self._runtime.set_var(name, to_share(pairs))

    def train(self) -> TrainResult:
        evaluation = self._prepared.evaluation
        started = time.monotonic()
        with lost_peers_named("the MPC nodes trained"):
            checkpoints = self._run_epochs()
        seconds = time.monotonic() - started
        if evaluation is not None:
            with lost_peers_named("the MPC nodes evaluated the model"):
                self._runtime.run(evaluation)
            self._reporter.progress("evaluate")
        names = (*MODEL, *METRICS) if evaluation is not None else MODEL
        result = self._write(RESULT_FILE, "result", self._job.training.epochs, self._shares(names))
        return TrainResult(result, checkpoints, seconds)

    def _run_epochs(self) -> tuple[str, ...]:
        """Train; every epoch leaves a checkpoint, and so does what was resumed from, as an attempt's own first one."""
        origin, checkpoints = self._prepared.origin, list[str]()
        if origin.epoch:
            self._keep(checkpoints, origin.epoch, origin.model)
        for number in range(origin.epoch + 1, self._job.training.epochs + 1):
            self._runtime.run(self._prepared.epoch)
            self._keep(checkpoints, number, self._shares(MODEL))
        return tuple(checkpoints)

    def _keep(self, checkpoints: list[str], epoch: int, model: dict[str, Pairs]) -> None:
        """Write the checkpoint after an epoch, drop all but the newest, and report it."""
        checkpoints.append(self._write(f"checkpoint-{epoch}.bin", "checkpoint", epoch, model))
        for old in checkpoints[:-CHECKPOINTS_KEPT]:
            Path(old).unlink(missing_ok=True)
        del checkpoints[:-CHECKPOINTS_KEPT]
        self._reporter.progress("train", epoch, self._job.training.epochs, checkpoints[-1])

    def _shares(self, names: tuple[str, ...]) -> dict[str, Pairs]:
        """Return this rank's shares of variables."""
        return {name: to_pairs(self._runtime.get_var(name)) for name in names}

    def _write(self, file: str, kind: str, epoch: int, arrays: dict[str, Pairs]) -> str:
        """Write shares under a name that appears only once they are whole."""
        header = self._prepared.data.header.model_copy(update={"kind": kind, "epoch": epoch})
        path = Path(self._job.directory) / file
        partial = path.with_suffix(".partial")
        partial.write_bytes(ShareFile(header, arrays).to_bytes())
        partial.replace(path)
        return str(path)
