"""What an MPC node trains on: the owners' share files put side by side, checked against the job and each other.

Columns stand in this order everywhere: the label owner's first, then the other's, each as its owner named them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from node_agent.engines.base import EngineError, TrainJob
from node_agent.engines.spu.program import Shapes
from soterone.domain.failures import FailureReason
from soterone.domain.share_file import Pairs, ShareFile, ShareFileError, ShareHeader


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Arrays by the names of the programs' inputs; `header` is what this node's own files shall say."""

    header: ShareHeader
    shapes: Shapes
    arrays: dict[str, Pairs]


def load_training_data(job: TrainJob) -> TrainingData:
    """Read the owners' files; EngineError when they do not belong together."""
    uploaded = [_read_of(owner, path) for owner, path in zip(job.owners, job.share_files, strict=True)]
    files = sorted(uploaded, key=lambda file: "y" not in file.arrays)
    first = files[0].header
    for file in files:
        _check(file, job, first)
    if [("y" in file.arrays) for file in files] != [True, False]:
        raise _unfit("one file must have the label and one must not")
    held, columns = first.holdout_rows, sum(len(file.header.owners[0].columns) for file in files)
    x = np.concatenate([file.arrays["x"] for file in files], axis=1)
    label = files[0].arrays
    arrays = {"x": x[held:], "y": label["y"][held:]}
    if held:
        arrays |= {"x_holdout": x[:held], "y_holdout": label["y"][:held]}
    if "weight" in label:
        arrays["weight"] = label["weight"][held:]
    owners = tuple(file.header.owners[0] for file in files)
    header = first.model_copy(update={"owners": owners, "attempt": job.link.attempt})
    return TrainingData(header, Shapes(first.training_rows, held, columns, "weight" in label), arrays)


def _read_of(owner: str, path: str) -> ShareFile:
    """Read an owner's file; EngineError when it speaks for somebody else, or for nobody."""
    file = _read(path)
    if [named.account for named in file.header.owners] != [owner]:
        raise _unfit(f"the one that {owner} uploaded does not name it as its owner")
    return file


def _read(path: str) -> ShareFile:
    try:
        return ShareFile.from_bytes(Path(path).read_bytes())
    except ShareFileError as error:
        raise _unfit("one cannot be read") from error


def _check(file: ShareFile, job: TrainJob, first: ShareHeader) -> None:
    header, rows = file.header, first.training_rows + first.holdout_rows
    if (header.kind, header.query_id, header.rank) != ("owner", job.link.query_id, job.link.rank):
        raise _unfit("one is of another query or another node")
    if header.generation != job.link.generation:
        raise _unfit("one is of another generation")
    if (header.attempt, header.training_rows, header.holdout_rows) != (
        first.attempt,
        first.training_rows,
        first.holdout_rows,
    ):
        raise _unfit("the owners aligned different rows")
    columns = sum(len(owner.columns) for owner in header.owners)
    shapes = {"x": (rows, columns, 2), "y": (rows, 1, 2), "weight": (rows, 1, 2)}
    if columns < 1 or header.training_rows < 1 or "x" not in file.arrays:
        raise _unfit("one lacks an owner's columns or rows")
    if any(array.shape != shapes.get(name) for name, array in file.arrays.items()):
        raise _unfit("one has not the shape it declares")


def _unfit(why: str) -> EngineError:
    return EngineError(FailureReason.ENGINE_ERROR, f"The owners' shares do not fit together: {why}.")
