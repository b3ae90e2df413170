"""Opening a model from the shares of two or three MPC nodes, in plain NumPy: the customer installs no engine.

Any two shares have a component in common. With two, a contradiction is noticed; with three, a share that
contradicts both others is found out and left out.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from soterone.client.model import Model
from soterone.domain.share_file import FRACTION_BITS, METRICS, ShareFile, ShareFileError, ShareHeader

RANKS = (0, 1, 2)
MODEL_MAGNITUDE_LIMIT = 1e6
METRIC_SLACK = 0.01


class ReconstructError(ValueError):
    """Shares that do not make a model; the text says which and what to do."""


def reconstruct(shares: dict[int, bytes]) -> Model:
    """Return the model inside the opened result shares, keyed by rank.

    ReconstructError when fewer than two fit each other, or when they contradict in a way that names no culprit.
    """
    files = _parse(shares)
    fitting = [pair for pair in combinations(sorted(files), 2) if _fit(files[pair[0]], files[pair[1]])]
    if not fitting:
        raise ReconstructError(
            "No two of the shares fit each other: ask the nodes to deliver again, or run the query once more."
        )
    models = {pair: _open(files[pair[0]], files[pair[1]]) for pair in fitting}
    used = fitting[0]
    if len(fitting) == 2:
        plausible = [pair for pair in fitting if _plausible(models[pair])]
        if len(plausible) != 1:
            raise ReconstructError(
                "Two of the shares contradict each other, and it cannot be told which is false."
            )
        used = plausible[0]
    garbage = () if len(fitting) == 3 else tuple(sorted(set(shares) - set(used)))
    if not _plausible(models[used]):
        raise ReconstructError("The shares open to numbers that no model has: run the query once more.")
    return _model(files[used[0]].header, models[used], garbage)


def _parse(shares: dict[int, bytes]) -> dict[int, ShareFile]:
    """Read the shares, leaving out those that are none."""
    if not set(shares) <= set(RANKS) or len(shares) < 2:
        raise ReconstructError("Two or three shares are needed, by the ranks 0, 1 and 2 of their MPC nodes.")
    files: dict[int, ShareFile] = {}
    for rank, content in shares.items():
        try:
            file = ShareFile.from_bytes(content)
        except ShareFileError:
            continue
        if file.header.rank == rank and file.header.kind == "result" and _complete(file):
            files[rank] = file
    return files


def _complete(file: ShareFile) -> bool:
    columns = sum(len(owner.columns) for owner in file.header.owners)
    shapes = {"w": (columns, 1, 2), "b": (1, 1, 2)}
    if file.header.holdout_rows:
        shapes |= dict.fromkeys(METRICS, (1, 1, 2))
    return shapes == {name: array.shape for name, array in file.arrays.items()}


def _fit(lower: ShareFile, upper: ShareFile) -> bool:
    """Whether two shares are of the same run and agree on the component that both hold."""
    same = {"rank": lower.header.rank}
    if upper.header.model_copy(update=same) != lower.header:
        return False
    ours, theirs = _common_component(lower.header.rank, upper.header.rank)
    return all(
        np.array_equal(lower.arrays[name][..., ours], upper.arrays[name][..., theirs])
        for name in lower.arrays
    )


def _common_component(lower: int, upper: int) -> tuple[int, int]:
    """Return where each of two ranks keeps the component that both hold: rank i holds x_i and x_(i+1)."""
    return (1, 0) if (lower + 1) % 3 == upper else (0, 1)


def _open(lower: ShareFile, upper: ShareFile) -> dict[str, NDArray[np.float64]]:
    _, theirs = _common_component(lower.header.rank, upper.header.rank)
    sums = {
        name: lower.arrays[name][..., 0] + lower.arrays[name][..., 1] + upper.arrays[name][..., 1 - theirs]
        for name in lower.arrays
    }
    return {name: total.astype(np.int64) / 2.0**FRACTION_BITS for name, total in sums.items()}


def _plausible(opened: dict[str, NDArray[np.float64]]) -> bool:
    """Whether the numbers can be a model's: random ones are about 2^44 in size."""
    sized = all(np.abs(values).max(initial=0) < MODEL_MAGNITUDE_LIMIT for values in opened.values())
    rates = [float(opened[name].item()) for name in ("auc", "accuracy") if name in opened]
    return sized and all(-METRIC_SLACK <= rate <= 1 + METRIC_SLACK for rate in rates)


def _model(header: ShareHeader, opened: dict[str, NDArray[np.float64]], garbage: tuple[int, ...]) -> Model:
    columns = [(owner.account, name) for owner in header.owners for name in owner.columns]
    return Model(
        query_id=header.query_id,
        generation=header.generation,
        epochs=header.epoch,
        weights=dict(zip(columns, opened["w"].ravel().tolist(), strict=True)),
        bias=float(opened["b"].item()),
        metrics={name: float(opened[name].item()) for name in METRICS if name in opened},
        training_rows=header.training_rows,
        holdout_rows=header.holdout_rows,
        garbage_ranks=garbage,
    )
