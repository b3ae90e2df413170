"""An MPC node's job: link, wait for the owners' shares, train epoch by epoch, evaluate, hand over its share."""

import time
from pathlib import Path

import spu
from spu import libspu

from node_agent.engines.base import SCRATCH, EngineError, TrainJob, TrainResult
from node_agent.engines.child import Reporter
from node_agent.engines.scratch import private_scratch
from node_agent.engines.spu.program import epoch_program, evaluation_program
from node_agent.engines.spu.session import lost_peers_named, session
from node_agent.engines.spu.shares import MPC_NODES, runtime_config, to_pairs, to_share
from node_agent.engines.spu.training_data import TrainingData, load_checkpoint, load_training_data
from soterone.domain.failures import FailureReason
from soterone.domain.share_file import METRICS, ShareFile

READY_POLL_SECONDS = 0.1
CHECKPOINTS_KEPT = 2


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
        _wait_for_shares(job, link)
        reporter.progress("wait")
        return _Run(job, link, reporter).train()


def _wait_for_shares(job: TrainJob, link: libspu.link.Context) -> None:
    """Return once every node has all its share files; the nodes keep telling each other how far they are."""
    deadline = time.monotonic() + job.share_wait_seconds
    while True:
        ready = all(Path(path).exists() for path in job.share_files)
        with lost_peers_named("the MPC nodes waited for the owners' shares"):
            flags = link.all_gather("ready" if ready else "waiting")
        if all(flag in ("ready", b"ready") for flag in flags):
            return
        if time.monotonic() > deadline:
            sentence = "The owners' shares did not arrive at every MPC node in time."
            raise EngineError(FailureReason.ENGINE_ERROR, sentence)
        time.sleep(READY_POLL_SECONDS)


class _Run:
    """One training: the runtime, the data in it, and the files it leaves."""

    def __init__(self, job: TrainJob, link: libspu.link.Context, reporter: Reporter) -> None:
        self._job, self._reporter = job, reporter
        self._data: TrainingData = load_training_data(job)
        self._done, model = load_checkpoint(job, self._data)
        self._runtime = spu.Runtime(link, runtime_config())
        for name, pairs in (self._data.arrays | model).items():
            self._runtime.set_var(name, to_share(pairs))

    def train(self) -> TrainResult:
        shapes, training = self._data.shapes, self._job.training
        epoch = epoch_program(shapes, training)
        evaluation = evaluation_program(shapes) if shapes.holdout_rows else None
        self._reporter.progress("compile")
        started = time.monotonic()
        with lost_peers_named("the MPC nodes trained"):
            checkpoints = self._run_epochs(epoch)
        seconds = time.monotonic() - started
        if evaluation is not None:
            with lost_peers_named("the MPC nodes evaluated the model"):
                self._runtime.run(evaluation)
            self._reporter.progress("evaluate")
        names = ("w", "b", *METRICS) if evaluation is not None else ("w", "b")
        result = self._write("result-share.bin", "result", training.epochs, names)
        return TrainResult(result, checkpoints, seconds)

    def _run_epochs(self, epoch: libspu.Executable) -> tuple[str, ...]:
        epochs = self._job.training.epochs
        checkpoints = [self._job.checkpoint_file] if self._job.checkpoint_file is not None else []
        for number in range(self._done + 1, epochs + 1):
            self._runtime.run(epoch)
            checkpoints.append(self._write(f"checkpoint-{number}.bin", "checkpoint", number, ("w", "b")))
            for old in checkpoints[:-CHECKPOINTS_KEPT]:
                Path(old).unlink(missing_ok=True)
            del checkpoints[:-CHECKPOINTS_KEPT]
            self._reporter.progress("train", number, epochs)
        return tuple(checkpoints)

    def _write(self, file: str, kind: str, epoch: int, names: tuple[str, ...]) -> str:
        """Write this rank's shares of variables under a name that appears only once they are whole."""
        header = self._data.header.model_copy(update={"kind": kind, "epoch": epoch})
        shares = ShareFile(header, {name: to_pairs(self._runtime.get_var(name)) for name in names})
        path = Path(self._job.directory) / file
        partial = path.with_suffix(".partial")
        partial.write_bytes(shares.to_bytes())
        partial.replace(path)
        return str(path)
