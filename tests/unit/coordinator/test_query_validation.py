"""Specs against the metadata of their datasets: every misfit has its sentence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.queries.errors import DatasetWithdrawn, SpecDoesNotFit, UnknownDataset
from coordinator.queries.validation import KnownDataset, check_spec
from soterone.domain.ids import Account
from soterone.domain.metadata import ColumnMetadata, DatasetMetadata
from soterone.domain.spec import QuerySpec

FIRST, SECOND = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
THIRD = "33333333-3333-4333-8333-333333333333"
OWNERS = [Account("0x" + digit * 40) for digit in "123"]


def table(dataset: str, *columns: ColumnMetadata) -> DatasetMetadata:
    key = ColumnMetadata(name="id", kind="key", key_kind="integer")
    return DatasetMetadata(id=dataset, name="t", rows_at_least=100, rows_below=200, columns=(key, *columns))


TABLES = {
    FIRST: table(
        FIRST,
        ColumnMetadata(name="sick", kind="flag"),
        ColumnMetadata(name="age", kind="number"),
        ColumnMetadata(name="ward", kind="text"),
        ColumnMetadata(name="masked-4", kind="number", masked=True),
    ),
    SECOND: table(SECOND, ColumnMetadata(name="dose", kind="number")),
    THIRD: table(THIRD, ColumnMetadata(name="note", kind="text")),
}


def known(**changes: Any) -> dict[str, KnownDataset]:
    datasets = {
        dataset: KnownDataset(dataset, owner, metadata)
        for (dataset, metadata), owner in zip(TABLES.items(), OWNERS, strict=True)
    }
    return datasets | changes.get("datasets", {})


def spec(**changes: Any) -> QuerySpec:
    document = {
        "name": "q",
        "algorithm": "vertical-logistic-regression",
        "datasets": [FIRST, SECOND],
        "label": {"dataset": FIRST, "column": "sick"},
    }
    return QuerySpec.model_validate(document | changes)


def test_a_spec_that_fits_gives_its_tables() -> None:
    assert check_spec(spec(), known()) == {FIRST: TABLES[FIRST], SECOND: TABLES[SECOND]}
    assert check_spec(spec(features={FIRST: ["age"], SECOND: ["dose"]}), known())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": {"dataset": FIRST, "column": "cured"}}, "label column 'cured' is not in dataset"),
        ({"label": {"dataset": FIRST, "column": "age"}}, "is not binary"),
        ({"label": {"dataset": SECOND, "column": "dose"}, "features": {SECOND: []}}, "no numeric feature"),
        ({"key": "nhs_number"}, "is not the key of dataset"),
        ({"key": {FIRST: "age"}}, "its key: 'id'"),
        ({"features": {FIRST: ["height"]}}, "feature 'height' is not in dataset"),
        ({"features": {FIRST: ["ward"]}}, "is text, not numeric"),
        ({"features": {FIRST: ["masked-4"]}}, "not numeric"),
        ({"features": {FIRST: ["sick"]}}, "key or label"),
        ({"features": {SECOND: ["id"]}}, "key or label"),
        ({"features": {SECOND: ["dose", "dose"]}}, "listed twice"),
        ({"datasets": [FIRST, THIRD]}, "no numeric feature"),
        ({"datasets": [FIRST, SECOND, THIRD]}, "2 owners"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecDoesNotFit) as caught:
        check_spec(spec(**changes), known())
    assert words in caught.value.sentence


def test_unknown_withdrawn_and_same_owner() -> None:
    with pytest.raises(UnknownDataset, match=SECOND):
        check_spec(spec(), {FIRST: known()[FIRST]})
    withdrawn = {SECOND: KnownDataset(SECOND, OWNERS[1], None)}
    with pytest.raises(DatasetWithdrawn, match="withdrawn"):
        check_spec(spec(), known(datasets=withdrawn))
    same = {SECOND: KnownDataset(SECOND, OWNERS[0], TABLES[SECOND])}
    with pytest.raises(SpecDoesNotFit, match="same owner"):
        check_spec(spec(), known(datasets=same))


@given(st.lists(st.sampled_from(["age", "ward", "sick", "id", "masked-4", "other"]), min_size=1, max_size=4))
def test_only_published_numeric_columns_ever_pass(asked: list[str]) -> None:
    wanted = spec(features={FIRST: asked})
    if asked == ["age"]:
        check_spec(wanted, known())
    else:
        with pytest.raises(SpecDoesNotFit):
            check_spec(wanted, known())
