"""What leaves an owner's machine: never a value, never a name that looks personal."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soterone.domain.masking import ColumnShape, TableShape, coarse_range, looks_personal, mask, row_bucket
from soterone.domain.spec import DatasetRef

ID = DatasetRef("2f9cface-7482-45f0-8af6-b9d2d6e2267d")


@given(st.integers(0, 10**12))
def test_a_bucket_holds_its_count_and_hides_it(rows: int) -> None:
    low, high = row_bucket(rows)
    assert low <= rows < high
    assert high >= 2 * low


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
def test_a_coarse_range_covers_the_true_one(low: float, width: float) -> None:
    high = low + width
    coarse_low, coarse_high = coarse_range(low, high)
    slack = 1e-5 * max(abs(low), abs(high)) + 1e-300
    assert coarse_low <= low + slack
    assert coarse_high >= high - slack


def test_ranges_say_one_digit_only() -> None:
    assert coarse_range(-3.217, 28.11) == (-10.0, 30.0)
    assert coarse_range(0.00123, 0.0456) == (0.0, 0.05)
    assert coarse_range(0, 0) == (0.0, 0.0)
    assert coarse_range(0, 5e-324) == (0.0, 1e-300)
    assert coarse_range(0, math.inf) == (0.0, 0.0)


@pytest.mark.parametrize(
    "name", ["first_name", "firstName", "E-Mail", "dob", "date_of_birth", "SSN", "zip", "home address"]
)
def test_personal_names_are_seen(name: str) -> None:
    assert looks_personal(name)


@pytest.mark.parametrize("name", ["radius", "mean_texture", "glucose", "age", "x0", "symmetry_error"])
def test_measurements_are_not(name: str) -> None:
    assert not looks_personal(name)


def test_masked_metadata_has_no_exact_number_and_no_personal_name() -> None:
    columns = (
        ColumnShape("patient", "text"),
        ColumnShape("surname", "text"),
        ColumnShape("glucose", "number", 61.37, 198.02),
        ColumnShape("secret", "number", 1.0, 2.0),
        ColumnShape("malignant", "flag", 0, 1),
    )
    shape = TableShape(569, columns, key="patient", key_kind="integer")
    metadata = mask(shape, ID, "clinic", tags=("oncology",), hidden=frozenset({"secret"}))
    text = metadata.model_dump_json()
    for told in ("569", "61.37", "198.02", "surname", "secret"):
        assert told not in text
    assert (metadata.rows_at_least, metadata.rows_below) == (500, 1000)
    assert [column.name for column in metadata.columns] == ["patient", "masked-2", "glucose", "malignant"]
    assert metadata.column("glucose") is not None
    assert metadata.columns[0].key_kind == "integer"
