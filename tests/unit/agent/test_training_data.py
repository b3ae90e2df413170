"""An MPC node takes the owners' share files only when each speaks for its uploader and both fit together."""

from pathlib import Path

import numpy as np
import pytest

from node_agent.engines.base import EngineError, Link, TrainJob
from node_agent.engines.spu.training_data import load_training_data
from soterone.domain.share_file import OwnerColumns, ShareFile, ShareHeader
from soterone.domain.spec import Training

OWNERS = ("0xA", "0xB")
QUERY = "0xq"


def owner_file(owner: str, *columns: str, label: bool = False, **said: object) -> ShareFile:
    """Make rank 1's file of an owner with 6 training and 2 held-out rows, saying what it is told to say."""
    header = ShareHeader(
        kind="owner",
        query_id=QUERY,
        generation=0,
        attempt=1,
        rank=1,
        owners=(OwnerColumns(account=owner, columns=columns),),
        training_rows=6,
        holdout_rows=2,
    )
    arrays = {"x": np.zeros((8, len(columns), 2), np.uint64)}
    if label:
        arrays["y"] = np.zeros((8, 1, 2), np.uint64)
    return ShareFile(header.model_copy(update=said), arrays)


def job(directory: Path, *files: bytes) -> TrainJob:
    paths = [directory / f"{number}.share" for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    link = Link(QUERY, 0, 1, 1, (), "key")
    return TrainJob(link, str(directory), OWNERS, tuple(map(str, paths)), Training())


def lying(said: bytes, instead: bytes) -> bytes:
    """Make 0xB's file with something else in its header, which has the right length all the same."""
    content = owner_file("0xB", "c").to_bytes()
    assert said in content
    length = int.from_bytes(content[8:12], "little") + len(instead) - len(said)
    return content[:8] + length.to_bytes(4, "little") + content[12:].replace(said, instead)


def first() -> bytes:
    return owner_file("0xA", "a", "b", label=True).to_bytes()


def test_files_that_fit_are_put_side_by_side(tmp_path: Path) -> None:
    data = load_training_data(job(tmp_path, first(), owner_file("0xB", "c").to_bytes()))
    assert [owner.columns for owner in data.header.owners] == [("a", "b"), ("c",)]
    assert (data.shapes.training_rows, data.shapes.holdout_rows, data.shapes.columns) == (6, 2, 3)


def misshapen() -> ShareFile:
    return ShareFile(owner_file("0xB", "c").header, {"x": np.zeros((8, 2, 2), np.uint64)})


def unasked() -> ShareFile:
    file = owner_file("0xB", "c")
    return ShareFile(file.header, file.arrays | {"z": file.arrays["x"]})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (owner_file("0xA", "c").to_bytes(), "that 0xB uploaded does not name it"),
        (owner_file("0xC", "c").to_bytes(), "that 0xB uploaded does not name it"),
        (owner_file("0xB", "c", owners=()).to_bytes(), "that 0xB uploaded does not name it"),
        (owner_file("0xB", "c", label=True).to_bytes(), "one must not"),
        (owner_file("0xB", "c", rank=2).to_bytes(), "another node"),
        (owner_file("0xB", "c", query_id="0xother").to_bytes(), "another query"),
        (owner_file("0xB", "c", generation=1).to_bytes(), "another generation"),
        (owner_file("0xB", "c", kind="result").to_bytes(), "another query or another node"),
        (owner_file("0xB", "c", training_rows=7, holdout_rows=1).to_bytes(), "aligned different rows"),
        (owner_file("0xB").to_bytes(), "lacks an owner's columns"),
        (misshapen().to_bytes(), "not the shape"),
        (unasked().to_bytes(), "not the shape"),
        (b"garbage", "cannot be read"),
        (owner_file("0xB", "c").to_bytes()[:-1], "cannot be read"),
        (lying(b'"holdout_rows":2', b'"holdout_rows":-2'), "cannot be read"),
        (lying(b'"holdout_rows":2', b'"holdout_rows":NaN'), "cannot be read"),
        (lying(b'"c"', b'"\\u001b"'), "cannot be read"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_are_refused(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(EngineError, match=why):
        load_training_data(job(tmp_path, first(), content))
