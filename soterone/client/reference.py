"""The same training in the clear: same rows, order, batches and standardisation, in float64 NumPy.

It shows what the computation under secret sharing should give. The sigmoid is exact here; there it errs by up to
6e-5, being made of polynomials in fixed point.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soterone.client.model import Column, Model, sigmoid
from soterone.domain.rows import Scaling, batches, class_weights, holdout_count, row_order, row_token
from soterone.domain.spec import Training

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClearTable:
    """An owner's table in the clear: keys as text, columns of float64 of shape (rows,), the label if it is here."""

    account: str
    keys: Sequence[str]
    columns: Mapping[str, Numbers]
    label: Numbers | None = None


def train_in_clear(tables: Sequence[ClearTable], training: Training) -> Model:
    """Train on the common rows of one or more tables, of which exactly one has the label; shapes as in `ClearTable`."""
    ordered = sorted(tables, key=lambda table: table.label is None)
    label = ordered[0].label
    if label is None or any(table.label is not None for table in ordered[1:]):
        raise ValueError("exactly one table must have the label")
    rows_of = [{row_token(key): row for row, key in enumerate(table.keys)} for table in ordered]
    order = row_order(set.intersection(*map(set, rows_of)), training.seed)
    held = holdout_count(len(order), training.holdout)
    x, scaling = _standardised(ordered, rows_of, order, held)
    y = label[[rows_of[0][token] for token in order]]
    w, bias = descend(x[held:], y[held:], training)
    return Model(
        query_id="",
        generation=0,
        epochs=training.epochs,
        weights=dict(zip(scaling, w.tolist(), strict=True)),
        bias=bias,
        metrics=metrics(x[:held] @ w + bias, y[:held]) if held else {},
        training_rows=len(order) - held,
        holdout_rows=held,
        scaling=scaling,
    )


def _standardised(
    tables: Sequence[ClearTable], rows_of: Sequence[Mapping[str, int]], order: list[str], held: int
) -> tuple[Numbers, dict[Column, tuple[float, float]]]:
    parts: list[Numbers] = []
    constants: dict[Column, tuple[float, float]] = {}
    for table, row_of in zip(tables, rows_of, strict=True):
        rows = np.column_stack(list(table.columns.values()))[[row_of[token] for token in order]]
        scaling = Scaling.of(rows[held:])
        parts.append(scaling.apply(rows))
        pairs = zip(scaling.means.tolist(), scaling.deviations.tolist(), strict=True)
        constants |= {(table.account, name): pair for name, pair in zip(table.columns, pairs, strict=True)}
    return np.column_stack(parts), constants


def descend(x: Numbers, y: Numbers, training: Training) -> tuple[Numbers, float]:
    """Mini-batch gradient descent for logistic regression from zero; x of shape (rows, columns), y (rows,).

    The bias is not regularised. Returns the weights, shape (columns,), and the bias.
    """
    weight = class_weights(y) if training.class_weight == "balanced" else np.ones_like(y)
    w, bias = np.zeros(x.shape[1]), 0.0
    for _ in range(training.epochs):
        for start, end in batches(len(x), training.batch_size):
            error = (sigmoid(x[start:end] @ w + bias) - y[start:end]) * weight[start:end]
            gradient = x[start:end].T @ error / (end - start) + training.l2 * w
            w, bias = (
                w - training.learning_rate * gradient,
                bias - training.learning_rate * float(error.mean()),
            )
    return w, bias


def metrics(scores: Numbers, y: Numbers) -> dict[str, float]:
    """Return auc, accuracy and log_loss (nats) of scores before the sigmoid; both of shape (rows,)."""
    softplus = np.maximum(scores, 0) + np.log1p(np.exp(-np.abs(scores)))
    return {
        "auc": area_under_curve(scores, y),
        "accuracy": float(((scores > 0) == (y > 0.5)).mean()),
        "log_loss": float((softplus - y * scores).mean()),
    }


def area_under_curve(scores: Numbers, y: Numbers) -> float:
    """Area under the ROC curve by ranks (Hanley & McNeil 1982), ties at their mean rank; NaN with one class."""
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    positives = float((y > 0.5).sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        return float("nan")
    rank_sum = float(mean_ranks[group.ravel()][y > 0.5].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)
