"""Which aligned rows train, in which order, and how columns are scaled: the same for owners and reference.

The order comes from hashes instead of a library's random generator, whose stream may differ between versions.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def row_token(key: str) -> str:
    """Return the name under which a row is aligned: BLAKE2b (RFC 7693) of its key, 32 hexadecimal digits."""
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def row_order(tokens: Iterable[str], seed: int) -> list[str]:
    """Return the aligned tokens in the order that the seed draws; held-out rows come first."""
    salt = seed.to_bytes(8, "big")
    return sorted(tokens, key=lambda token: hashlib.blake2b(token.encode(), salt=salt).digest())


def holdout_count(rows: int, fraction: float) -> int:
    """Return how many of the ordered rows are held out: rounded; at least one unless the fraction is zero."""
    return max(1, round(rows * fraction)) if fraction > 0 else 0


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and standard deviation of each column over the training rows; float64, shape (columns,)."""

    means: NDArray[np.float64]
    deviations: NDArray[np.float64]

    @classmethod
    def of(cls, training_rows: NDArray[np.float64]) -> "Scaling":
        """Measure; a constant column gets deviation 1, so that it becomes zero."""
        deviations = training_rows.std(axis=0)
        return cls(training_rows.mean(axis=0), np.where(deviations > 0, deviations, 1.0))

    def apply(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows standardised, shape (rows, columns)."""
        return (rows - self.means) / self.deviations


def class_weights(labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the balanced weight of each row: rows / (2 · rows of its class); both classes must occur."""
    positives = float(labels.sum())
    of_class = np.where(labels > 0.5, positives, len(labels) - positives)
    return np.asarray(len(labels) / (2.0 * of_class))


def batches(rows: int, batch_size: int) -> Sequence[tuple[int, int]]:
    """Return (start, end) of an epoch's batches in order; the last may be smaller."""
    return [(start, min(start + batch_size, rows)) for start in range(0, rows, batch_size)]
