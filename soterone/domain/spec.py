"""The spec of a query: what is to be trained on which columns. It decides nothing about who computes."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import rfc8785
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from soterone.domain.ids import DatasetId, Hash32, hash32

_NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}$"
_DATASET = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_PURPOSE = r"^[a-z][a-z0-9-]{0,39}$"
_VERSION = r"^\d{1,3}\.\d{1,3}\.\d{1,3}$"
_ACCOUNT = r"^0x[0-9a-fA-F]{40}$"

Name = Annotated[str, StringConstraints(pattern=_NAME)]
ColumnName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]+$"),
]
DatasetRef = Annotated[DatasetId, StringConstraints(pattern=_DATASET)]
VersionText = Annotated[str, StringConstraints(pattern=_VERSION)]
AccountText = Annotated[str, StringConstraints(pattern=_ACCOUNT)]

ALGORITHMS = ("vertical-logistic-regression",)


class SpecError(ValueError):
    """A spec that cannot be read; its text says which field and what would do."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Label(_Part):
    """The column to predict, 0 or 1 in every row, and the dataset that has it."""

    dataset: DatasetRef
    column: ColumnName


class Training(_Part):
    """Hyper-parameters of mini-batch gradient descent for logistic regression."""

    epochs: int = Field(10, ge=1, le=1000)
    batch_size: int = Field(64, ge=1, le=65536)
    learning_rate: float = Field(0.3, gt=0, le=10)
    l2: float = Field(0.0, ge=0, le=10)
    holdout: float = Field(0.2, ge=0, le=0.5)
    seed: int = Field(0, ge=0, lt=2**31)
    class_weight: Literal["none", "balanced"] = "none"


class MpcWishes(_Part):
    """Which MPC nodes the customer wants: chosen for it, or three by name.

    When one is lost and no other can take its place, the query waits `successor_wait_seconds` for one before it fails.
    """

    select: Literal["auto", "named"] = "auto"
    minimum_version: VersionText = "0.1.0"
    nodes: list[AccountText] = Field(default_factory=list, max_length=3)
    successor_wait_seconds: int = Field(60, ge=0, le=1800)

    @model_validator(mode="before")
    @classmethod
    def _named_when_listed(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("nodes") and "select" not in value:
            return {**value, "select": "named"}
        return value

    @model_validator(mode="after")
    def _three_or_none(self) -> "MpcWishes":
        wanted = 3 if self.select == "named" else 0
        if len({node.lower() for node in self.nodes}) != wanted or len(self.nodes) != wanted:
            raise ValueError("name three different nodes, or none with select: auto")
        return self


class QuerySpec(_Part):
    """One query. `hash` is what the customer signs and the chain keeps."""

    name: Name
    purpose: Annotated[str, StringConstraints(pattern=_PURPOSE)] = "research"
    algorithm: Annotated[str, StringConstraints(max_length=64)]
    datasets: list[DatasetRef] = Field(min_length=2, max_length=13)
    key: ColumnName | dict[DatasetRef, ColumnName] = "id"
    label: Label
    features: dict[DatasetRef, list[ColumnName]] = Field(default_factory=dict)
    training: Training = Field(default_factory=Training)
    mpc: MpcWishes = Field(default_factory=MpcWishes)

    @model_validator(mode="after")
    def _consistent(self) -> "QuerySpec":
        if self.algorithm not in ALGORITHMS:
            raise ValueError(
                f"unknown algorithm {self.algorithm!r}; this network runs: {', '.join(ALGORITHMS)}"
            )
        known = set(self.datasets)
        if len(known) != len(self.datasets):
            raise ValueError("the same dataset is listed twice")
        named = {self.label.dataset, *self.features, *(self.key if isinstance(self.key, dict) else ())}
        if not named <= known:
            raise ValueError(f"dataset {sorted(named - known)[0]} is used but not listed under datasets")
        return self

    def key_of(self, dataset: str) -> str:
        """Return the column to align on at this dataset's owner."""
        return self.key if isinstance(self.key, str) else self.key.get(DatasetId(dataset), "id")

    def features_of(self, dataset: str) -> list[str] | None:
        """Return the feature columns asked of a dataset; None means every numeric column but key and label."""
        return self.features.get(DatasetId(dataset))

    def canonical(self) -> bytes:
        """Return the spec as canonical JSON (RFC 8785), every default written out."""
        return rfc8785.dumps(self.model_dump(mode="json"))

    @property
    def hash(self) -> Hash32:
        """SHA-256 of the canonical JSON."""
        return hash32(hashlib.sha256(self.canonical()).digest())


def parse_spec(text: str | bytes) -> QuerySpec:
    """Read a spec from JSON or YAML; SpecError with one readable sentence when it does not fit."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"the spec is neither JSON nor YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise SpecError("the spec is nested too deeply") from error
    if not isinstance(document, dict):
        raise SpecError("the spec must be a mapping with the fields name, algorithm, datasets, label, …")
    try:
        return QuerySpec.model_validate(document)
    except ValidationError as error:
        raise SpecError(describe(error)) from error


_WANTED = {
    _NAME: "write 1 to 80 letters, digits, spaces, dots, hyphens or underscores, a letter or digit first",
    _DATASET: "write a dataset's id, as the catalog shows it (soter datasets)",
    _PURPOSE: "write 1 to 40 small letters, digits or hyphens, a letter first",
    _VERSION: "write a version such as 0.1.0",
    _ACCOUNT: "write an account, 0x and 40 hexadecimal digits",
    r"^0x[0-9a-f]{64}$": "write 0x and 64 small hexadecimal digits",
    r"^0x([0-9a-fA-F]{2})*$": "write bytes as 0x and hexadecimal digits, two a byte",
}
"""What a person reads instead of a pattern."""


def describe(error: ValidationError) -> str:
    """Return the first complaint of a validation error as `field.path: what is wrong`."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "spec"
    return f"{where}: {complaint(first)}"


def complaint(detail: Mapping[str, Any]) -> str:
    """Return what is wrong in one detail of a validation error, as a person says it."""
    pattern = detail.get("ctx", {}).get("pattern")
    return _WANTED.get(pattern) or str(detail["msg"]).removeprefix("Value error, ")


def json_schema() -> dict[str, Any]:
    """Return the published JSON schema of a spec."""
    return QuerySpec.model_json_schema()
