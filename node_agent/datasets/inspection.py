"""Asks a child process for the shape of a table, so that the agent itself never loads DuckDB or sees a row."""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from node_agent.errors import AgentError
from node_agent.tables import SourceKind, TableSource
from soterone.domain.masking import ColumnShape, TableShape

INSPECTION_SECONDS = 300
_FILES: dict[str, SourceKind] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_DATABASES: dict[str, SourceKind] = {
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".db": "sqlite",
    ".duckdb": "duckdb",
}
_SERVERS: dict[str, SourceKind] = {"postgresql": "postgres", "postgres": "postgres", "mysql": "mysql"}


class DatasetError(AgentError):
    """A table cannot become a dataset; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What to look at; without `key` the column called id identifies a row."""

    source: TableSource
    key: str | None = None


def file_source(path: Path) -> TableSource:
    """Return the source of a CSV or Parquet file; DatasetError when it is missing or neither."""
    if not path.is_file():
        raise DatasetError(f"there is no file {path}")
    kind = _FILES.get(path.suffix.lower())
    if kind is None:
        raise DatasetError(f"{path.name} is neither .csv nor .parquet; for a database give --sql and --table")
    if path.stat().st_size == 0:
        raise DatasetError(f"{path.name} is empty")
    return TableSource(kind, str(path.resolve()))


def sql_source(address: str, table: str | None) -> TableSource:
    """Return the source of a database table: a SQLite or DuckDB file, or a postgresql:// or mysql:// address."""
    if not table:
        raise DatasetError("name the table of the database with --table")
    scheme, separator, _ = address.partition("://")
    if separator:
        if scheme not in _SERVERS:
            raise DatasetError(
                f"databases of the kind {scheme!r} are not read; use postgresql:// or mysql://"
            )
        return TableSource(_SERVERS[scheme], address, table)
    path = Path(address)
    if not path.is_file():
        raise DatasetError(f"there is no database file {path}")
    return TableSource(_DATABASES.get(path.suffix.lower(), "sqlite"), str(path.resolve()), table)


def inspect_table(inspection: Inspection) -> TableShape:
    """Return the exact shape of a table, for masking at once; DatasetError with a sentence when it does not serve."""
    question = json.dumps({"source": asdict(inspection.source), "key": inspection.key})
    return _shape(ask_child("node_agent.datasets.shape", question)["shape"])


def ask_child(module: str, question: str) -> dict[str, Any]:
    """Return what a child process that reads a table answers; DatasetError with a sentence when it refuses."""
    try:
        child = subprocess.run(  # noqa: S603 - a module of ours
            [sys.executable, "-m", module],
            input=question + "\n",
            capture_output=True,
            text=True,
            timeout=INSPECTION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DatasetError(
            f"looking at the table took more than {INSPECTION_SECONDS} s; add a smaller view"
        ) from error
    if child.returncode != 0 or not child.stdout:
        raise DatasetError(
            "the table could not be looked at: the process that reads it ended without an answer"
        )
    answer: dict[str, Any] = json.loads(child.stdout)
    if "refused" in answer:
        raise DatasetError(answer["refused"])
    return answer


def _shape(answer: dict[str, object]) -> TableShape:
    columns = answer.pop("columns")
    if not isinstance(columns, list):
        raise DatasetError("the process that reads the table gave no columns")
    return TableShape(columns=tuple(ColumnShape(**one) for one in columns), **answer)  # type: ignore[arg-type]
