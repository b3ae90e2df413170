"""An owner's tables, read with DuckDB: CSV, Parquet, or a table of an SQL database.

DuckDB is loaded inside the functions, so that the agent can name a table without loading it. Errors name
columns and never hold a value of the table.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

SourceKind = Literal["csv", "parquet", "duckdb", "sqlite", "postgres", "mysql"]
FILE_KINDS = ("csv", "parquet", "duckdb", "sqlite")


@dataclass(frozen=True, slots=True)
class TableSource:
    """Where a table is: a file's path, or a database's path or connection string with the table's name."""

    kind: SourceKind
    location: str
    table: str | None = None


class BadTableError(Exception):
    """A table that cannot serve the query; the text is one public sentence that names a column at most."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows that a query asked for. Keys are unique, non-empty text; values are finite, float64.

    `features` has shape (rows, columns) in the order asked; `label`, of zeros and ones, has shape (rows,).
    """

    keys: list[str]
    features: "NDArray[np.float64]"
    label: "NDArray[np.float64] | None"


def connect(source: TableSource) -> "tuple[duckdb.DuckDBPyConnection, str]":
    """Open a source read-only; returns the connection and the quoted name of a view of the table.

    CSV columns stay text, so that keys keep their leading zeros. BadTableError when it cannot be read.
    """
    import duckdb

    if source.kind in FILE_KINDS and not Path(source.location).is_file():
        raise BadTableError("The table's file is not there: the data owner must put it back or add it again.")
    connection = duckdb.connect(config={"threads": 2, "autoinstall_known_extensions": "false"})
    try:
        _create_view(connection, source)
    except (duckdb.Error, sqlite3.Error, OSError) as error:
        connection.close()
        raise BadTableError(_unreadable(source)) from error
    return connection, '"soter_table"'


def _unreadable(source: TableSource) -> str:
    what = {
        "csv": "as CSV: check that every row has as many fields as the header, and that the text is UTF-8",
        "parquet": "as Parquet: check that the file is whole",
        "duckdb": "from the DuckDB database: check the file and the table's name",
        "sqlite": "from the SQLite database: check the file and the table's name",
    }
    other = (
        f"from the {source.kind} database: check its address and the table's name, and that DuckDB's "
        f"{source.kind} extension is installed (INSTALL {source.kind})"
    )
    return f"The table could not be read {what.get(source.kind, other)}."


def _create_view(connection: "duckdb.DuckDBPyConnection", source: TableSource) -> None:
    if source.kind == "csv":
        connection.read_csv(_plain(source.location), header=True, all_varchar=True).create_view("soter_table")
    elif source.kind == "parquet":
        connection.read_parquet(_plain(source.location)).create_view("soter_table")
    elif source.kind == "sqlite":
        connection.register("soter_table", _sqlite_columns(source))
    else:
        kind = "" if source.kind == "duckdb" else f"TYPE {source.kind}, "
        location = source.location.replace("'", "''")
        connection.execute(f"ATTACH '{location}' AS soter_source ({kind}READ_ONLY)")
        table = ".".join(quoted(part) for part in (source.table or "").split("."))
        connection.execute(f"CREATE VIEW soter_table AS SELECT * FROM soter_source.{table}")  # noqa: S608


def _plain(path: str) -> str:
    """Escape what DuckDB would take for a pattern of several files."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def _sqlite_columns(source: TableSource) -> "dict[str, NDArray[Any]]":
    import numpy as np

    address = f"{Path(source.location).resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as database:
        cursor = database.execute(f"SELECT * FROM {quoted(source.table or '')}")  # noqa: S608
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    texts = [
        [None if value is None else str(value) for value in column] for column in zip(*rows, strict=True)
    ]
    return {name: np.array(texts[i] if texts else [], dtype=object) for i, name in enumerate(names)}


def quoted(name: str) -> str:
    """Return a name quoted as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def read_table(source: TableSource, key: str, features: tuple[str, ...], label: str | None) -> Table:
    """Read and check the columns of a query; BadTableError with one public sentence when they do not fit."""
    import duckdb

    wanted = [key, *features, *([label] if label is not None else [])]
    if len(set(wanted)) != len(wanted):
        raise BadTableError("The key, the label and each feature must be different columns: name each once.")
    if not features:
        raise BadTableError("An owner must give at least one feature column: name one in the spec.")
    connection, view = connect(source)
    with closing(connection):
        types = {row[0]: str(row[1]) for row in connection.execute(f"DESCRIBE {view}").fetchall()}
        _check_columns(types, key, features, label)
        try:
            names = ", ".join(map(quoted, wanted))
            connection.execute(f"CREATE TEMP TABLE soter_rows AS SELECT {names} FROM {view}")  # noqa: S608
            keys = _read_keys(connection, key, types[key])
            columns = {name: _read_numbers(connection, name) for name in wanted[1:]}
        except duckdb.Error as error:
            raise BadTableError(_unreadable(source)) from error
    return _assemble(keys, columns, features, label)


def _check_columns(types: dict[str, str], key: str, features: tuple[str, ...], label: str | None) -> None:
    if key not in types:
        raise BadTableError(f"The key column '{key}' is not in the table: name the column to align on.")
    if label is not None and label not in types:
        raise BadTableError(f"The label column '{label}' is not in the table: name one that is.")
    missing = next((name for name in features if name not in types), None)
    if missing is not None:
        raise BadTableError(f"The feature column '{missing}' is not in the table: name columns that are.")


def _read_keys(connection: "duckdb.DuckDBPyConnection", key: str, kind: str) -> list[str]:
    """Return keys as trimmed, NFC-normalised text; 12 and 12.0 are the same key in a numeric column."""
    name = quoted(key)
    text = f"CAST({name} AS VARCHAR)"
    if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL"):
        text = (
            f"CASE WHEN {name} = floor({name}) THEN CAST(CAST({name} AS HUGEINT) AS VARCHAR) ELSE {text} END"
        )
    rows = connection.execute(f"SELECT nfc_normalize(trim({text})) FROM soter_rows").fetchall()  # noqa: S608
    keys = [row[0] for row in rows]
    if not keys:
        raise BadTableError("The table is empty: it has no rows.")
    if not all(keys):
        raise BadTableError(f"The key column '{key}' has empty values: every row needs its id.")
    if len(set(keys)) != len(keys):
        raise BadTableError(f"The key column '{key}' has duplicate ids: keep one row for each id.")
    return keys


def _read_numbers(connection: "duckdb.DuckDBPyConnection", column: str) -> "NDArray[np.float64]":
    """Return a column as float64; missing values, text, NaN and infinity are refused."""
    import numpy as np

    name = quoted(column)
    missing, text, odd = connection.execute(
        f"SELECT count(*) FILTER ({name} IS NULL),"  # noqa: S608
        f" count(*) FILTER ({name} IS NOT NULL AND TRY_CAST({name} AS DOUBLE) IS NULL),"
        f" count(*) FILTER (NOT isfinite(TRY_CAST({name} AS DOUBLE))) FROM soter_rows"
    ).fetchall()[0]
    if missing:
        raise BadTableError(f"The column '{column}' has missing values: fill them in or leave out the rows.")
    if text:
        raise BadTableError(
            f"The column '{column}' has text where numbers are needed: encode it or leave it out."
        )
    if odd:
        raise BadTableError(
            f"The column '{column}' has NaN or infinite values: fill them in or leave out the rows."
        )
    values = connection.execute(f"SELECT CAST({name} AS DOUBLE) AS v FROM soter_rows").fetchnumpy()["v"]  # noqa: S608
    return np.asarray(values, dtype=np.float64)


def _assemble(
    keys: list[str], columns: "dict[str, NDArray[np.float64]]", features: tuple[str, ...], label: str | None
) -> Table:
    import numpy as np

    labels = None if label is None else columns[label]
    if labels is not None and not np.isin(labels, (0.0, 1.0)).all():
        raise BadTableError(f"The label column '{label}' is not binary: it must be 0 or 1 in every row.")
    return Table(keys, np.column_stack([columns[name] for name in features]), labels)
