"""The demo's data: the Wisconsin Diagnostic Breast Cancer table, split as life would split it.

One hospital has the label and ten columns, the other twenty; their patients overlap only in part, stand in
different orders, and some of their columns bear the same name.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

LABEL, KEY = "malignant", "id"


@dataclass(frozen=True, slots=True)
class Hospital:
    """One owner's table: keys (text), columns of shape (rows,) by name, and the label where it has it."""

    name: str
    keys: list[str]
    columns: dict[str, NDArray[np.float64]]
    label: NDArray[np.float64] | None

    def write(self, path: Path) -> None:
        """Write the table as CSV, the key first."""
        header = [KEY, *([LABEL] if self.label is not None else []), *self.columns]
        columns = [*([self.label.astype(int)] if self.label is not None else []), *self.columns.values()]
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows([key, *(column[row] for column in columns)] for row, key in enumerate(self.keys))


def split(seed: int = 7) -> tuple[Hospital, Hospital]:
    """Return both hospitals: the clinic with the label and the means, the laboratory with errors and worsts."""
    table = load_breast_cancer()
    generator = np.random.default_rng(seed)
    names = [str(name) for name in table.feature_names]
    identifiers = np.array([f"P{number:05d}" for number in generator.permutation(90_000)[: len(table.data)]])
    malignant = (table.target == 0).astype(np.float64)
    clinic_rows = generator.permutation(len(identifiers))[:530]
    laboratory_rows = generator.permutation(len(identifiers))[:520]
    clinic = {
        _own(name): table.data[clinic_rows, i] for i, name in enumerate(names) if name.startswith("mean")
    }
    laboratory = {
        _own(name): table.data[laboratory_rows, i]
        for i, name in enumerate(names)
        if not name.startswith("mean")
    }
    return (
        Hospital("clinic", list(identifiers[clinic_rows]), clinic, malignant[clinic_rows]),
        Hospital("laboratory", list(identifiers[laboratory_rows]), laboratory, None),
    )


def _own(name: str) -> str:
    """Name a column as its own hospital would: both call their main measurements just `radius`, `texture`, …"""
    bare = name.removeprefix("mean ").removeprefix("worst ")
    return bare.replace(" error", "_error").replace(" ", "_")
