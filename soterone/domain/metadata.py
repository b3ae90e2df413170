"""Masked metadata of a dataset: all that ever leaves a data owner's machine about a table before a query."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from soterone.domain.spec import ColumnName, DatasetRef

ColumnKind = Literal["key", "number", "flag", "text", "date"]
KeyKind = Literal["integer", "uuid", "email", "phone", "text"]
Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class ColumnMetadata(BaseModel):
    """One column: a name (masked when it looks personal), a kind and a coarse range; never a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: ColumnName
    kind: ColumnKind
    masked: bool = False
    range_low: float | None = None
    range_high: float | None = None
    key_kind: KeyKind | None = None


class RowsCommitment(BaseModel):
    """The root over a table's salted rows (`soterone.domain.commitments`), and the owner's EIP-712 signature of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]
    signature: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{130}$")]


class DatasetMetadata(BaseModel):
    """A dataset as the catalog shows it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: DatasetRef
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}$")]
    description: Annotated[str, StringConstraints(max_length=500)] = ""
    tags: tuple[Tag, ...] = Field(default=(), max_length=16)
    rows_at_least: int = Field(ge=0)
    rows_below: int = Field(ge=1)
    columns: tuple[ColumnMetadata, ...] = Field(min_length=1, max_length=2000)
    commitment: RowsCommitment | None = None

    def column(self, name: str) -> ColumnMetadata | None:
        """Return the column of that name, None when there is none (or its name is masked)."""
        return next((column for column in self.columns if column.name == name), None)
