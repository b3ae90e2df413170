"""Masking: what a table's shape becomes before it leaves its owner's machine. Pure; sees no row.

Row counts become 1-2-5 buckets, ranges are rounded outward to one significant digit, keys become a kind, and
names that look personal become a number.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from soterone.domain.metadata import ColumnMetadata, DatasetMetadata, KeyKind
from soterone.domain.spec import DatasetRef

_PERSONAL = re.compile(
    r"name|surname|e-?mail|phone|mobile|fax|street|address|addr\b|zip|post(al|_?)code|birth|\bdob\b|passport|ssn|"
    r"social.?security|national.?id|tax.?id|licen[cs]e|iban|account.?(no|number)|card.?(no|number)|insurance.?(no|number)|"
    r"\bmrn\b|medical.?record|ip.?addr|latitude|longitude|geo.?loc|photo|fingerprint|ethnic|religio|sexual",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """A column as inspected at home: exact `low` and `high` for numbers, None for anything else."""

    name: str
    kind: Literal["number", "flag", "text", "date"]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table as inspected at home."""

    rows: int
    columns: tuple[ColumnShape, ...]
    key: str
    key_kind: KeyKind


def mask(
    shape: TableShape,
    dataset_id: DatasetRef,
    name: str,
    description: str = "",
    tags: Iterable[str] = (),
    hidden: frozenset[str] = frozenset(),
) -> DatasetMetadata:
    """Return the metadata that may be published; `hidden` columns are left out altogether."""
    at_least, below = row_bucket(shape.rows)
    return DatasetMetadata(
        id=dataset_id,
        name=name,
        description=description,
        tags=tuple(tags),
        rows_at_least=at_least,
        rows_below=below,
        columns=tuple(
            _mask_column(shape, position, column)
            for position, column in enumerate(shape.columns, start=1)
            if column.name not in hidden or column.name == shape.key
        ),
    )


def looks_personal(column_name: str) -> bool:
    """Return whether a column's name hints at a person's identity or at a protected trait."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_.]", " ", column_name)
    return bool(_PERSONAL.search(spaced) or _PERSONAL.search(column_name))


def row_bucket(rows: int) -> tuple[int, int]:
    """Return the 1-2-5 bucket [at least, below) of a row count; everything under 10 is one bucket."""
    if rows < 10:
        return 0, 10
    decade = 10 ** (len(str(rows)) - 1)
    edges = (decade, 2 * decade, 5 * decade, 10 * decade)
    return max(edge for edge in edges if edge <= rows), min(edge for edge in edges if edge > rows)


def coarse_range(low: float, high: float) -> tuple[float, float]:
    """Return the range rounded outward to one significant digit of its larger end."""
    magnitude = max(abs(low), abs(high))
    if magnitude == 0 or not math.isfinite(magnitude):
        return 0.0, 0.0
    step = 10.0 ** max(math.floor(math.log10(magnitude)), -300)
    return _tidy(math.floor(low / step) * step), _tidy(math.ceil(high / step) * step)


def _tidy(value: float) -> float:
    return float(f"{value:.6g}")


def _mask_column(shape: TableShape, position: int, column: ColumnShape) -> ColumnMetadata:
    if column.name == shape.key:
        return ColumnMetadata(name=column.name, kind="key", key_kind=shape.key_kind)
    if looks_personal(column.name):
        return ColumnMetadata(name=f"masked-{position}", kind=column.kind, masked=True)
    if column.kind != "number" or column.low is None or column.high is None:
        return ColumnMetadata(name=column.name, kind=column.kind)
    low, high = coarse_range(column.low, column.high)
    return ColumnMetadata(name=column.name, kind="number", range_low=low, range_high=high)
