"""Two owners' tables, one with marked values, and every form in which these values or a model could show themselves."""

import csv
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from needles import Needle
from numpy.typing import NDArray

from soterone.domain.rows import Scaling, holdout_count, row_order, row_token
from soterone.domain.share_file import FRACTION_BITS
from soterone.domain.spec import Training

KEY, LABEL = "id", "outcome"
ROWS_EACH, ROWS_COMMON = 1300, 1200
TEXT_DIGITS = 12
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """An owner's rows: keys, named columns of shape (rows, columns), and the label where it has one."""

    keys: list[str]
    names: list[str]
    columns: Numbers
    label: Numbers | None = None

    def write(self, path: Path) -> None:
        """Write CSV with every digit that a float64 needs."""
        labels = [] if self.label is None else [LABEL]
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([KEY, *labels, *self.names])
            for row, key in enumerate(self.keys):
                label = [] if self.label is None else [int(self.label[row])]
                writer.writerow([key, *label, *(repr(float(value)) for value in self.columns[row])])


def marked_and_labelled(seed: int = 11) -> tuple[Table, Table]:
    """Return the table with marked values and the one with the label.

    A marked value lies between 1 and 10 and has 52 random bits behind the point, so that no other number in the
    world is likely to equal it, in binary or in its first twelve decimal digits. All four columns are marked, so
    that four in a row of a table are as recognisable in float32 or fixed point, where one alone is not.
    """
    generator = np.random.default_rng(seed)
    keys = [f"K{number:06d}" for number in generator.permutation(10**6)[: 2 * ROWS_EACH - ROWS_COMMON]]
    marked = 1 + 9 * generator.beta(4, 4, (len(keys), 4))
    others = generator.normal(50, 12, (len(keys), 5))
    scores = (marked - 5.5) @ (0.9, -0.7, 0.5, 0.4) + (others - 50) @ (0.06, -0.05, 0.04, 0.03, -0.03)
    label = (scores + generator.logistic(size=len(keys)) > 0).astype(np.float64)
    first = generator.permutation(ROWS_EACH)
    second = generator.permutation(ROWS_EACH) + ROWS_EACH - ROWS_COMMON
    return (
        Table([keys[row] for row in first], [f"marked_{i}" for i in range(4)], marked[first]),
        Table([keys[row] for row in second], [f"other_{i}" for i in range(5)], others[second], label[second]),
    )


@dataclass(frozen=True, slots=True)
class Marks:
    """The marked columns as they stand in the file, and as the owner aligned and standardised them."""

    raw: Numbers
    standardised: Numbers
    scaling: Scaling

    @classmethod
    def of(cls, marked: Table, labelled: Table, training: Training) -> "Marks":
        """Do what the owner's engine does: align, order, hold out, standardise by the training rows."""
        row_of = {row_token(key): row for row, key in enumerate(marked.keys)}
        order = row_order(set(row_of) & {row_token(key) for key in labelled.keys}, training.seed)
        rows = marked.columns[[row_of[token] for token in order]]
        scaling = Scaling.of(rows[holdout_count(len(order), training.holdout) :])
        return cls(marked.columns, scaling.apply(rows), scaling)

    def needles(self) -> Iterator[Needle]:
        """Yield the marked values: single where float64 or text, runs of four along rows and columns elsewhere."""
        for value in self.raw[:, 0]:
            yield from (Needle(as_double(value), "raw float64"), Needle(as_text(value), "raw text"))
        for value in self.standardised[:, 0]:
            yield Needle(as_double(value), "standardised float64")
        for form, values in (("raw", self.raw), ("standardised", self.standardised)):
            for run in (*values, *_down(values)):
                yield Needle(run.astype("<f4").tobytes(), f"{form} float32")
                for encoded in fixed_point(run):
                    yield Needle(encoded.tobytes(), f"{form} fixed point")

    def constants(self) -> Iterator[Needle]:
        """Yield the owner's means and deviations, which are the customer's to know and nobody else's."""
        for value in (*self.scaling.means, *self.scaling.deviations):
            yield Needle(as_double(value), "constants float64")
            yield Needle(as_text(value), "constants text")


def weight_needles(weights: Sequence[float], when: str) -> Iterator[Needle]:
    """Yield a model's weights, in runs of four but for text of ten or more digits, which says enough alone."""
    array = np.array(weights)
    for position, value in enumerate(array):
        yield Needle(as_double(value), f"weights float64 {when}", position)
        yield Needle(fixed_point(array)[0][position].tobytes(), f"weights fixed point {when}", position)
        text = repr(abs(float(value))).encode()
        if len(text) > 10:
            yield Needle(text, f"weights text {when}")
    for start in range(len(array) - 3):
        yield Needle(array[start : start + 4].astype("<f4").tobytes(), f"weights float32 {when}")


def fixed_point(values: Numbers) -> Sequence[NDArray[np.int64]]:
    """Return values in fixed point, little-endian, for each way of rounding: to the nearest, to zero, down."""
    scaled = values * 2.0**FRACTION_BITS
    return [rounded(scaled).astype("<i8") for rounded in (np.rint, np.trunc, np.floor)]


def as_double(value: float) -> bytes:
    """Return the little-endian bytes of a float64."""
    return struct.pack("<d", value)


def as_text(value: float) -> bytes:
    """Return the first decimal digits of a value, without its sign."""
    return repr(abs(float(value)))[: TEXT_DIGITS + 1].encode()


def _down(values: Numbers) -> Iterator[Numbers]:
    """Yield every fourth run of four along the first column: any longer run of a column holds one of them."""
    for start in range(0, len(values) - 3, 4):
        yield values[start : start + 4, 0]
