"""An owner's tables, read with DuckDB: CSV, Parquet, or a table of an SQL database.

DuckDB is loaded inside the functions, so that the agent can name a table without loading it.
"""

from dataclasses import dataclass
from typing import Literal

SourceKind = Literal["csv", "parquet", "duckdb", "sqlite", "postgres", "mysql"]


@dataclass(frozen=True, slots=True)
class TableSource:
    """Where a table is: a file's path, or a database's path or connection string with the table's name."""

    kind: SourceKind
    location: str
    table: str | None = None
