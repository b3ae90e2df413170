"""A logistic-regression model over the columns of several owners, as its customer holds it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Column = tuple[str, str]
"""An owner's account and the name of one of its columns."""


class ModelError(ValueError):
    """A model that cannot do what is asked of it; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Model:
    """Weights apply to standardised columns; `scaling` holds mean and deviation of each, once owners' constants came.

    `metrics` are of the held-out rows: auc, accuracy, log_loss (nats); none without a hold-out. `garbage_ranks` are
    the MPC nodes whose share contradicted the other two and was left out.
    """

    query_id: str
    generation: int
    epochs: int
    weights: dict[Column, float]
    bias: float
    metrics: dict[str, float]
    training_rows: int
    holdout_rows: int
    scaling: dict[Column, tuple[float, float]] | None = None
    garbage_ranks: tuple[int, ...] = ()

    def with_constants(self, constants: Mapping[str, bytes]) -> "Model":
        """Return the model with the standardisation constants that the owners sealed to the customer (JSON each).

        `constants` are keyed by the account whose signature they came with; each speaks for its own columns only.
        """
        scaling: dict[Column, tuple[float, float]] = {}
        for owner, content in constants.items():
            scaling |= _read_constants(content, self.query_id, owner)
        missing = [column for column in self.weights if column not in scaling]
        if missing:
            owner, column = missing[0]
            raise ModelError(f"The constants of column '{column}' of owner {owner} are missing.")
        return replace(self, scaling={column: scaling[column] for column in self.weights})

    def to_json(self) -> str:
        """Return the model as a JSON document: a row a column, with mean and deviation where they are known."""
        scaling = self.scaling or {}
        columns = [
            {"owner": owner, "column": name, "weight": weight, "scaling": scaling.get((owner, name))}
            for (owner, name), weight in self.weights.items()
        ]
        return json.dumps({
            "query_id": self.query_id, "generation": self.generation, "epochs": self.epochs, "bias": self.bias,
            "columns": columns, "metrics": self.metrics, "training_rows": self.training_rows,
            "holdout_rows": self.holdout_rows, "garbage_ranks": self.garbage_ranks,
        })  # fmt: skip

    def predict(self, tables: Mapping[str, Mapping[str, ArrayLike]]) -> NDArray[np.float64]:
        """Return the probability of label 1 for each row of raw columns, given by owner's account and name.

        Rows must be aligned already; shape (rows,). ModelError without constants or with a column missing.
        """
        if self.scaling is None:
            raise ModelError("Raw columns need the owners' constants: call with_constants first.")
        score = np.array([self.bias])
        for (owner, name), weight in self.weights.items():
            if name not in tables.get(owner, {}):
                raise ModelError(f"The column '{name}' of owner {owner} is missing from the tables.")
            mean, deviation = self.scaling[owner, name]
            score = score + weight * (np.asarray(tables[owner][name], dtype=np.float64) - mean) / deviation
        return sigmoid(score)


def sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-score)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scores)))


def _read_constants(content: bytes, query_id: str, owner: str) -> dict[Column, tuple[float, float]]:
    try:
        document = json.loads(content)
        own = (document["account"], document["query_id"]) == (owner, query_id)
        read = {
            (owner, str(name)): (float(entry["mean"]), float(entry["deviation"]))
            for name, entry in document["columns"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelError("An owner's standardisation constants cannot be read.") from error
    if not own:
        raise ModelError("An owner's standardisation constants are of another owner or query.")
    if not all(math.isfinite(mean) and math.isfinite(scale) and scale > 0 for mean, scale in read.values()):
        raise ModelError("An owner's standardisation constants are no usable numbers.")
    return read
