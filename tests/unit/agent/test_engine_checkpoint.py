"""A job begins with a checkpoint only when it is whole, of this node and this training, and of the epoch it names."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node_agent.engines.base import EngineError, Link, TrainJob
from node_agent.engines.spu.checkpoint import load_origin
from node_agent.engines.spu.program import Shapes
from node_agent.engines.spu.training_data import TrainingData
from soterone.domain.share_file import OwnerColumns, ShareFile, ShareHeader
from soterone.domain.spec import Training

HEADER = ShareHeader(
    kind="owner",
    query_id="0xq",
    generation=1,
    attempt=2,
    rank=1,
    owners=(OwnerColumns(account="0xA", columns=("a", "b")),),
    training_rows=6,
    holdout_rows=2,
)
DATA = TrainingData(HEADER, Shapes(6, 2, 2, False), {})


def checkpoint(value: int = 7, columns: int = 2, **said: object) -> ShareFile:
    """Make rank 1's checkpoint of epoch 3, saying what it is told to say."""
    header = HEADER.model_copy(update={"kind": "checkpoint", "generation": 0, "epoch": 3} | said)
    arrays = {"w": np.full((columns, 1, 2), value, np.uint64), "b": np.full((1, 1, 2), value, np.uint64)}
    return ShareFile(header, arrays)


def part(lender: int, value: int = 1, **said: object) -> ShareFile:
    return checkpoint(value, **{"kind": "part", "lender": lender} | said)  # type: ignore[arg-type]


def job(directory: Path, *files: ShareFile | bytes) -> TrainJob:
    paths = [directory / f"{number}.share" for number in range(len(files))]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file if isinstance(file, bytes) else file.to_bytes())
    link = Link("0xq", 1, 2, 1, (), "key")
    names = tuple(map(str, paths))
    return TrainJob(link, str(directory), ("0xA",), (), Training(epochs=5), names, 3 if names else 0)


def test_without_a_checkpoint_the_model_is_zero(tmp_path: Path) -> None:
    origin = load_origin(job(tmp_path), DATA)
    assert (origin.epoch, origin.identity) == (0, None)
    assert {name: (pairs.shape, pairs.any()) for name, pairs in origin.model.items()} == {
        "w": ((2, 1, 2), False),
        "b": ((1, 1, 2), False),
    }


def test_ones_own_checkpoint_is_taken_as_it_is(tmp_path: Path) -> None:
    origin = load_origin(job(tmp_path, checkpoint()), DATA)
    assert origin.epoch == 3
    assert {int(number) for pairs in origin.model.values() for number in pairs.ravel()} == {7}


def test_the_parts_of_two_lenders_are_added(tmp_path: Path) -> None:
    origin = load_origin(job(tmp_path, part(0, 2**64 - 1), part(2, 3)), DATA)
    assert {int(number) for pairs in origin.model.values() for number in pairs.ravel()} == {2}


def test_all_nodes_name_a_checkpoint_alike_and_another_attempts_otherwise(tmp_path: Path) -> None:
    own = load_origin(job(tmp_path, checkpoint()), DATA).identity
    others = DATA.header.model_copy(update={"rank": 2})
    elsewhere = job(tmp_path, part(0, rank=2), part(1, rank=2))
    elsewhere = replace(elsewhere, link=replace(elsewhere.link, rank=2))
    assert load_origin(elsewhere, replace(DATA, header=others)).identity == own
    assert load_origin(job(tmp_path, checkpoint(attempt=1)), DATA).identity != own
    assert load_origin(job(tmp_path, checkpoint(generation=1)), DATA).identity != own


OF_ANOTHER = [
    ({"query_id": "0xother"}, "another query"),
    ({"rank": 2}, "another query, node"),
    ({"epoch": 2}, "another query, node or epoch"),
    ({"owners": (OwnerColumns(account="0xA", columns=("b", "a")),)}, "other columns"),
    ({"training_rows": 7, "holdout_rows": 1}, "other columns or rows"),
    ({"columns": 3}, "not the model's shape"),
    ({"kind": "result"}, "neither one's own"),
    ({"kind": "owner"}, "neither one's own"),
    ({"kind": "part", "lender": 0}, "neither one's own"),
]


@pytest.mark.parametrize(("said", "why"), OF_ANOTHER)
def test_a_checkpoint_of_another_training_is_a_mismatch(
    tmp_path: Path, said: dict[str, object], why: str
) -> None:
    with pytest.raises(EngineError, match=why) as refused:
        load_origin(job(tmp_path, checkpoint(**said)), DATA)  # type: ignore[arg-type]
    assert refused.value.mismatch


PAIRS: list[tuple[Callable[[], tuple[ShareFile | bytes, ...]], str]] = [
    (lambda: (part(1), part(0)), "parts of two lenders"),
    (lambda: (part(1), part(1)), "parts of two lenders"),
    (lambda: (part(0), checkpoint()), "parts of two lenders"),
    (lambda: (checkpoint(lender=0), checkpoint(lender=1)), "parts of two lenders"),
    (lambda: (part(0), part(1), part(2)), "parts of two lenders"),
    (lambda: (part(0), part(1, epoch=2)), "two checkpoints"),
    (lambda: (part(0), part(1, attempt=1)), "two checkpoints"),
    (lambda: (part(0), part(1, columns=3)), "two shapes"),
    (lambda: (part(0), b"garbage"), "cannot be read"),
    (lambda: (b"",), "cannot be read"),
]


@pytest.mark.parametrize(("files", "why"), PAIRS)
def test_parts_that_make_no_whole_are_a_mismatch(
    tmp_path: Path, files: Callable[[], tuple[ShareFile | bytes, ...]], why: str
) -> None:
    with pytest.raises(EngineError, match=why) as refused:
        load_origin(job(tmp_path, *files()), DATA)
    assert refused.value.mismatch


def test_an_epoch_that_the_training_does_not_have_is_a_mismatch(tmp_path: Path) -> None:
    late = replace(job(tmp_path, checkpoint(epoch=6)), resume_epoch=6)
    with pytest.raises(EngineError, match="does not have"):
        load_origin(late, DATA)
