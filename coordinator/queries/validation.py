"""Does a spec fit the datasets that it names? Pure: judged on masked metadata, before any node is asked.

What only the rows can tell (NaN, duplicate ids, a label that is not 0 or 1) the owners' engines check again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from coordinator.queries.errors import BadResultKey, DatasetWithdrawn, SpecDoesNotFit, UnknownDataset
from soterone.crypto.sealing import SealingError, check_public
from soterone.domain.ids import Account
from soterone.domain.metadata import ColumnMetadata, DatasetMetadata
from soterone.domain.spec import QuerySpec

OWNERS = 2
"""How many data owners a vertical query joins."""

_FEATURE_KINDS = ("number", "flag")


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A dataset of the catalog; `metadata` is None once it is withdrawn."""

    id: str
    owner: Account
    metadata: DatasetMetadata | None


def check_spec(spec: QuerySpec, known: Mapping[str, KnownDataset]) -> dict[str, DatasetMetadata]:
    """Return the metadata of the spec's datasets; the refusal of the first thing that does not fit otherwise."""
    tables = {str(dataset): _table(dataset, known) for dataset in spec.datasets}
    _check_owners(spec, known)
    for dataset, table in tables.items():
        _check_key(spec, dataset, table)
        _check_features(spec, dataset, table)
    _check_label(spec, tables[spec.label.dataset])
    return tables


def check_result_key(public: bytes) -> None:
    """BadResultKey when the bytes are no public HPKE key of a known suite."""
    try:
        check_public(public)
    except SealingError as error:
        raise BadResultKey(f"result_key does not fit: {error}; make one with `soter` or the SDK") from error


def _table(dataset: str, known: Mapping[str, KnownDataset]) -> DatasetMetadata:
    entry = known.get(dataset)
    if entry is None:
        raise UnknownDataset(dataset)
    if entry.metadata is None:
        raise DatasetWithdrawn(f"dataset {dataset} was withdrawn by its owner; choose another one")
    return entry.metadata


def _check_owners(spec: QuerySpec, known: Mapping[str, KnownDataset]) -> None:
    owners = {known[dataset].owner for dataset in spec.datasets}
    if len(owners) != len(spec.datasets):
        raise SpecDoesNotFit("two of the datasets belong to the same owner; choose one dataset of each owner")
    if len(owners) != OWNERS:
        raise SpecDoesNotFit(f"{spec.algorithm} joins the tables of {OWNERS} owners; name {OWNERS} datasets")


def _check_key(spec: QuerySpec, dataset: str, table: DatasetMetadata) -> None:
    name = spec.key_of(dataset)
    column = table.column(name)
    if column is None or column.kind != "key":
        keys = ", ".join(repr(one.name) for one in table.columns if one.kind == "key") or "none"
        raise SpecDoesNotFit(
            f"key column {name!r} is not the key of dataset {dataset} (its key: {keys}); set key for that dataset"
        )


def _check_label(spec: QuerySpec, table: DatasetMetadata) -> None:
    name, dataset = spec.label.column, spec.label.dataset
    column = table.column(name)
    if column is None:
        raise SpecDoesNotFit(f"label column {name!r} is not in dataset {dataset}; name one of its columns")
    if column.kind != "flag":
        raise SpecDoesNotFit(
            f"label column {name!r} of dataset {dataset} is not binary ({column.kind}); choose a column of 0 and 1"
        )


def _check_features(spec: QuerySpec, dataset: str, table: DatasetMetadata) -> None:
    asked = spec.features_of(dataset)
    reserved = {spec.key_of(dataset)} | ({spec.label.column} if spec.label.dataset == dataset else set())
    if asked is None:
        asked = [one.name for one in table.columns if _usable(one) and one.name not in reserved]
    if not asked:
        raise SpecDoesNotFit(f"dataset {dataset} has no numeric feature column; choose another dataset")
    if len(set(asked)) != len(asked):
        raise SpecDoesNotFit(f"a feature of dataset {dataset} is listed twice; list each column once")
    for name in asked:
        _check_feature(dataset, name, table.column(name), reserved)


def _check_feature(dataset: str, name: str, column: ColumnMetadata | None, reserved: set[str]) -> None:
    if name in reserved:
        raise SpecDoesNotFit(
            f"column {name!r} of dataset {dataset} is its key or label and cannot be a feature"
        )
    if column is None:
        raise SpecDoesNotFit(f"feature {name!r} is not in dataset {dataset}; see its columns in the catalog")
    if not _usable(column):
        raise SpecDoesNotFit(
            f"feature {name!r} of dataset {dataset} is {column.kind}, not numeric; leave it out or have it encoded"
        )


def _usable(column: ColumnMetadata) -> bool:
    return column.kind in _FEATURE_KINDS and not column.masked
