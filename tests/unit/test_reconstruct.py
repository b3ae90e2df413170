"""Any two shares open the model; a false one is noticed, and with three it is found out."""

import secrets

import numpy as np
import pytest
from numpy.typing import NDArray

from soterone.client.model import ModelError
from soterone.client.reconstruct import ReconstructError, reconstruct
from soterone.domain.share_file import OwnerColumns, ShareFile, ShareFileError, ShareHeader

WEIGHTS = [0.5, -1.25, 3.0]
VALUES = {"w": WEIGHTS, "b": [-0.75], "auc": [0.875], "accuracy": [0.5], "log_loss": [0.25]}


def uniform(shape: tuple[int, ...]) -> NDArray[np.uint64]:
    return np.frombuffer(secrets.token_bytes(8 * int(np.prod(shape))), dtype=np.uint64).reshape(shape)


def share(values: dict[str, list[float]], query_id: str = "0xq", attempt: int = 1) -> list[ShareFile]:
    """Share numbers by the definition: three components with their sum, node i holds i and i + 1."""
    arrays: list[dict[str, NDArray[np.uint64]]] = [{}, {}, {}]
    for name, numbers in values.items():
        fixed = (np.array(numbers).reshape(-1, 1) * 2**18).astype(np.int64).astype(np.uint64)
        parts = [uniform(fixed.shape), uniform(fixed.shape)]
        parts.append(fixed - parts[0] - parts[1])
        for rank in range(3):
            arrays[rank][name] = np.stack([parts[rank], parts[(rank + 1) % 3]], axis=-1)
    owners = (OwnerColumns(account="0xA", columns=("x0", "x1")), OwnerColumns(account="0xB", columns=("x0",)))
    common = {"kind": "result", "query_id": query_id, "generation": 0, "attempt": attempt, "owners": owners}
    return [
        ShareFile(
            ShareHeader.model_validate(
                common | {"rank": rank, "training_rows": 8, "holdout_rows": 2, "epoch": 10}
            ),
            arrays[rank],
        )
        for rank in range(3)
    ]


def opened(files: list[ShareFile], ranks: tuple[int, ...] = (0, 1, 2)) -> dict[int, bytes]:
    return {rank: files[rank].to_bytes() for rank in ranks}


@pytest.mark.parametrize("ranks", [(0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_two_or_three_shares_open_the_model(ranks: tuple[int, ...]) -> None:
    model = reconstruct(opened(share(VALUES), ranks))
    assert model.weights == {("0xA", "x0"): 0.5, ("0xA", "x1"): -1.25, ("0xB", "x0"): 3.0}
    assert (model.bias, model.metrics) == (-0.75, {"auc": 0.875, "accuracy": 0.5, "log_loss": 0.25})
    assert model.garbage_ranks == ()


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("garbage", ["random", "other attempt", "cut", "noise"])
def test_a_garbage_share_among_three_is_found_out(rank: int, garbage: str) -> None:
    files = opened(share(VALUES))
    bad = share(VALUES, attempt=2 if garbage == "other attempt" else 1)[rank].to_bytes()
    files[rank] = {"cut": bad[:-8], "noise": secrets.token_bytes(300)}.get(garbage, bad)
    model = reconstruct(files)
    assert list(model.weights.values()) == WEIGHTS
    assert model.garbage_ranks == (rank,)


def shifted(file: ShareFile, component: int, by: int) -> ShareFile:
    """Return a share with one component of the first weight moved."""
    moved = {name: array.copy() for name, array in file.arrays.items()}
    moved["w"][:1, :1, component] += np.uint64(by)
    return ShareFile(file.header, moved)


@pytest.mark.parametrize("component", [0, 1])
def test_a_share_false_in_one_component_opens_the_true_model_or_none(component: int) -> None:
    files = share(VALUES)
    true = files[1]
    files[1] = shifted(true, component, 2**60)
    model = reconstruct(opened(files))
    assert list(model.weights.values()) == WEIGHTS
    assert model.garbage_ranks == (1,)
    files[1] = shifted(true, component, 2**18)
    with pytest.raises(ReconstructError, match="contradict"):
        reconstruct(opened(files))


def test_two_shares_that_contradict_open_nothing() -> None:
    mixed = {0: share(VALUES)[0].to_bytes(), 1: share(VALUES)[1].to_bytes()}
    with pytest.raises(ReconstructError, match="No two"):
        reconstruct(mixed)


def test_one_share_is_not_enough() -> None:
    with pytest.raises(ReconstructError, match="Two or three"):
        reconstruct(opened(share(VALUES), (0,)))


def test_a_file_with_bytes_too_many_or_too_few_is_refused() -> None:
    content = share(VALUES)[0].to_bytes()
    for bad in (content[:-1], content + b"\0", b"", content[:9], b"X" + content[1:]):
        with pytest.raises(ShareFileError):
            ShareFile.from_bytes(bad)


def test_raw_columns_need_the_constants_of_every_owner() -> None:
    model = reconstruct(opened(share(VALUES)))
    tables = {"0xA": {"x0": [3.0], "x1": [1.0]}, "0xB": {"x0": [5.0]}}
    with pytest.raises(ModelError, match="constants"):
        model.predict(tables)
    first = (
        b'{"account": "0xA", "query_id": "0xq", "columns":'
        b' {"x0": {"mean": 1.0, "deviation": 2.0}, "x1": {"mean": 1.0, "deviation": 1.0}}}'
    )
    second = b'{"account": "0xB", "query_id": "0xq", "columns": {"x0": {"mean": 4.0, "deviation": 4.0}}}'
    with pytest.raises(ModelError, match="0xB"):
        model.with_constants({"0xA": first})
    with pytest.raises(ModelError, match="another"):
        model.with_constants({"0xA": first, "0xC": second})
    for bad in (
        b"[" * 100_000,
        second.replace(b"4.0", b"NaN"),
        second.replace(b"4.0", b"9" * 400),
        b"[]",
        b"",
    ):
        with pytest.raises(ModelError, match="constants"):
            model.with_constants({"0xA": first, "0xB": bad})
    scored = model.with_constants({"0xA": first, "0xB": second}).predict(tables)
    np.testing.assert_allclose(scored, 1 / (1 + np.exp(-(0.5 * 1 - 1.25 * 0 + 3 * 0.25 - 0.75))))
