"""Where an MPC node's training begins: with zeros, its own checkpoint, or the parts that two others lend it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from node_agent.engines.base import EngineError, TrainJob
from node_agent.engines.spu.lending import joined
from node_agent.engines.spu.training_data import TrainingData
from soterone.domain.failures import FailureReason
from soterone.domain.share_file import Pairs, ShareFile, ShareFileError, ShareHeader


@dataclass(frozen=True, slots=True)
class Origin:
    """The epochs that are done, this rank's shares of the model after them, and what all three nodes must agree on.

    `identity` names the checkpoint: who wrote it when, for which columns and rows. None is the beginning.
    """

    epoch: int
    model: dict[str, Pairs]
    identity: str | None = None


def load_origin(job: TrainJob, data: TrainingData) -> Origin:
    """Read what the job resumes from; EngineError with `mismatch` when it does not fit the job and its data."""
    if not job.checkpoint_files:
        return Origin(0, {name: np.zeros((*shape, 2), np.uint64) for name, shape in _shapes(data).items()})
    checkpoint = _whole([_read(path) for path in job.checkpoint_files])
    _check(checkpoint, job, data)
    return Origin(job.resume_epoch, checkpoint.arrays, _identity(checkpoint.header))


def mismatch(why: str) -> EngineError:
    """Return the error that makes the nodes of a link start from the beginning."""
    sentence = f"The MPC nodes' checkpoints do not fit: {why}."
    return EngineError(FailureReason.ENGINE_ERROR, sentence, mismatch=True)


def _whole(files: list[ShareFile]) -> ShareFile:
    """Return the checkpoint in one file, or made of the parts of two lenders, the lower rank's first."""
    if len(files) == 1 and files[0].header.kind == "checkpoint":
        return files[0]
    lenders = [file.header.lender for file in files]
    if lenders not in ([0, 1], [0, 2], [1, 2]) or {file.header.kind for file in files} != {"part"}:
        raise mismatch("neither one's own, nor the parts of two lenders")
    first, second = files
    if second.header.model_copy(update={"lender": first.header.lender}) != first.header:
        raise mismatch("the lenders' parts are of two checkpoints")
    if _shapes_of(first) != _shapes_of(second):
        raise mismatch("the lenders' parts have two shapes")
    arrays = {name: joined(pairs, second.arrays[name]) for name, pairs in first.arrays.items()}
    return ShareFile(first.header.model_copy(update={"kind": "checkpoint", "lender": None}), arrays)


def _check(checkpoint: ShareFile, job: TrainJob, data: TrainingData) -> None:
    header, current = checkpoint.header, data.header
    if (header.query_id, header.rank, header.epoch) != (job.link.query_id, job.link.rank, job.resume_epoch):
        raise mismatch("one is of another query, node or epoch")
    rows = (header.training_rows, header.holdout_rows)
    if header.owners != current.owners or rows != (current.training_rows, current.holdout_rows):
        raise mismatch("one is of other columns or rows than the owners now share")
    if not 1 <= header.epoch <= job.training.epochs:
        raise mismatch("one is of an epoch that this training does not have")
    if _shapes_of(checkpoint) != {name: (*shape, 2) for name, shape in _shapes(data).items()}:
        raise mismatch("one has not the model's shape")


def _identity(header: ShareHeader) -> str:
    return header.model_copy(update={"rank": 0}).model_dump_json()


def _shapes(data: TrainingData) -> dict[str, tuple[int, int]]:
    return {"w": (data.shapes.columns, 1), "b": (1, 1)}


def _shapes_of(file: ShareFile) -> dict[str, tuple[int, ...]]:
    return {name: pairs.shape for name, pairs in file.arrays.items()}


def _read(path: str) -> ShareFile:
    try:
        return ShareFile.from_bytes(Path(path).read_bytes())
    except ShareFileError as error:
        raise mismatch("one cannot be read") from error
