"""The child process that looks at a table: it alone loads DuckDB, and only the table's shape leaves it.

Reads an `Inspection` as one JSON line on stdin; writes a TableShape, or a refusal, as one JSON line on stdout.
"""

import csv
import json
import re
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from node_agent.datasets.inspection import Inspection
from node_agent.tables import BadTableError, TableSource, connect, quoted
from soterone.domain.masking import ColumnShape, TableShape
from soterone.domain.metadata import KeyKind

if TYPE_CHECKING:
    import duckdb

MAX_COLUMNS = 2000
_UNSAFE_NAME = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_VALUE = re.compile(r"[+-]?[0-9][0-9.,eE+-]*|\d{4}-\d{2}-\d{2}.*|[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_KEY_KINDS: tuple[tuple[KeyKind, str], ...] = (
    ("integer", r"[+-]?\d{1,18}"),
    ("uuid", r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    ("email", r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}"),
    ("phone", r"\+?[0-9 ()./-]{6,20}"),
)


def inspect(inspection: Inspection) -> TableShape:
    """Return the exact shape of a table; BadTableError with one sentence when it cannot be a dataset."""
    import duckdb

    if inspection.source.kind == "csv":
        _check_header(Path(inspection.source.location))
    connection, view = connect(inspection.source)
    with closing(connection):
        try:
            return _shape(connection, view, inspection.key)
        except duckdb.Error as error:
            raise BadTableError(
                "The table could not be read to its end: check that the file is whole."
            ) from error


def _shape(connection: "duckdb.DuckDBPyConnection", view: str, asked_key: str | None) -> TableShape:
    types = {row[0]: str(row[1]) for row in connection.execute(f"DESCRIBE {view}").fetchall()}
    _check_names(list(types))
    key = _choose_key(list(types), asked_key)
    rows = _one(connection, f"SELECT count(*) FROM {view}")  # noqa: S608
    if not rows:
        raise BadTableError("The table is empty: it has column names but no rows.")
    _check_key(connection, view, key, rows)
    columns = tuple(_column(connection, view, name) for name in types)
    return TableShape(rows, columns, key, _key_kind(connection, view, key))


def _check_header(path: Path) -> None:
    """Refuse a CSV whose first line cannot be column names: what stands in it would be published."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline(1 << 20)
    except (OSError, UnicodeDecodeError) as error:
        raise BadTableError("The file is not a readable CSV table in UTF-8.") from error
    if "\0" in first or not first.strip():
        raise BadTableError(
            "The file is empty or not a CSV table: its first line must hold the column names."
        )
    names = next(csv.reader([first], _dialect(first)))
    _check_no_values(names)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadTableError(f"The column name '{twice}' stands twice in the first line: give each its own.")


def _check_no_values(names: list[str]) -> None:
    if any(_VALUE.fullmatch(name.strip()) for name in names):
        raise BadTableError(
            "The column names look like values: put names in the first line, with a letter in each."
        )


def _dialect(line: str) -> type[csv.Dialect]:
    try:
        return csv.Sniffer().sniff(line, delimiters=",;\t|")
    except csv.Error:
        return csv.excel


def _check_names(names: list[str]) -> None:
    if len(names) < 2:
        raise BadTableError(
            "The table reads as one column only: a dataset needs a key and at least one other column, and in a"
            " CSV file every row has as many fields as the header."
        )
    _check_no_values(names)
    if len(names) > MAX_COLUMNS:
        raise BadTableError(f"The table has {len(names)} columns: the catalog takes {MAX_COLUMNS} at most.")
    if any(not 1 <= len(name) <= 128 or _UNSAFE_NAME.search(name) for name in names):
        raise BadTableError(
            "A column name is empty, longer than 128 characters, or has control characters: rename it."
        )
    if any(re.fullmatch(r"masked-\d+", name) for name in names):
        raise BadTableError("A column is called like a masked one ('masked-' and a number): rename it.")


def _choose_key(names: list[str], asked: str | None) -> str:
    if asked is not None and asked not in names:
        raise BadTableError(f"The key column '{asked}' is not in the table; it has: {_listed(names)}.")
    if asked is None and "id" not in names:
        raise BadTableError(
            f"Name the column that identifies a row with --key; the table has: {_listed(names)}."
        )
    return asked or "id"


def _check_key(connection: "duckdb.DuckDBPyConnection", view: str, key: str, rows: int) -> None:
    text = f"trim(CAST({quoted(key)} AS VARCHAR))"
    filled = _one(connection, f"SELECT count(*) FROM {view} WHERE {text} != ''")  # noqa: S608
    if filled < rows:
        raise BadTableError(f"The key column '{key}' has empty values: every row needs its id.")
    if _one(connection, f"SELECT count(DISTINCT {text}) FROM {view}") < rows:  # noqa: S608
        raise BadTableError(f"The key column '{key}' has duplicate ids: keep one row for each id.")


def _key_kind(connection: "duckdb.DuckDBPyConnection", view: str, key: str) -> KeyKind:
    text = f"trim(CAST({quoted(key)} AS VARCHAR))"
    for kind, pattern in _KEY_KINDS:
        question = f"SELECT bool_and(regexp_full_match({text}, '{pattern}')) FROM {view}"  # noqa: S608
        if _one(connection, question):
            return kind
    return "text"


def _column(connection: "duckdb.DuckDBPyConnection", view: str, name: str) -> ColumnShape:
    """Say what a column holds. Text that is a number in every row counts as numbers."""
    column, number = quoted(name), f"TRY_CAST({quoted(name)} AS DOUBLE)"
    present, numbers, flags, dates, low, high = connection.execute(
        f"SELECT count({column}), count({number}), count(*) FILTER ({number} IN (0, 1)),"  # noqa: S608
        f" count(TRY_CAST(CAST({column} AS VARCHAR) AS TIMESTAMP)),"
        f" min({number}) FILTER (isfinite({number})), max({number}) FILTER (isfinite({number})) FROM {view}"
    ).fetchall()[0]
    kind: Literal["number", "flag", "text", "date"] = "text"
    if present and flags == present:
        kind = "flag"
    elif present and numbers == present:
        kind = "number"
    elif present and dates == present:
        kind = "date"
    return ColumnShape(name, kind, low, high) if kind == "number" else ColumnShape(name, kind)


def _one(connection: "duckdb.DuckDBPyConnection", question: str) -> int:
    return int(connection.execute(question).fetchall()[0][0])


def _listed(names: list[str]) -> str:
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")


def main() -> None:
    """Inspect what stdin names; a refusal is an answer, not a crash."""
    asked = json.loads(sys.stdin.readline())
    try:
        shape = inspect(Inspection(TableSource(**asked["source"]), asked["key"]))
        print(json.dumps({"shape": asdict(shape)}))
    except BadTableError as error:
        print(json.dumps({"refused": str(error)}))


if __name__ == "__main__":
    main()
