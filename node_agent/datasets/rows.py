"""The child process that commits to a table's rows and opens single ones: it alone loads DuckDB and sees a row.

Reads one JSON line on stdin; writes the root, an opening, or a refusal, as one JSON line on stdout.
"""

import json
import sys
from contextlib import closing
from dataclasses import asdict

from node_agent.tables import BadTableError, TableSource, connect, quoted
from soterone.domain.commitments import leaves_of, open_row, root_of

Row = tuple[str | None, ...]


def committed_rows(source: TableSource, key: str, columns: list[str]) -> list[Row]:
    """Return header and rows as text, ordered by the key's; BadTableError when they cannot be read."""
    import duckdb

    connection, view = connect(source)
    texts = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in columns)
    order = f"CAST({quoted(key)} AS VARCHAR)"
    with closing(connection):
        try:
            rows = connection.execute(f"SELECT {texts} FROM {view} ORDER BY {order}").fetchall()  # noqa: S608
        except duckdb.Error as error:
            raise BadTableError(
                "The table could not be read to its end: check that the file is whole."
            ) from error
    return [tuple(columns), *rows]


def main() -> None:
    """Answer what stdin asks; a refusal is an answer, not a crash."""
    asked = json.loads(sys.stdin.readline())
    try:
        rows = committed_rows(TableSource(**asked["source"]), asked["key"], asked["columns"])
    except BadTableError as error:
        print(json.dumps({"refused": str(error)}))
        return
    salt, place = bytes.fromhex(asked["salt"]), asked["place"]
    leaves = leaves_of(rows, salt)
    if place is None:
        print(json.dumps({"root": root_of(leaves).hex()}))
    elif place >= len(rows):
        print(json.dumps({"refused": f"The table has no row {place}: its rows are 1 to {len(rows) - 1}."}))
    else:
        opened = asdict(open_row(rows, leaves, salt, place))
        path = [one.hex() for one in opened["path"]]
        print(json.dumps({"opening": opened | {"salt": opened["salt"].hex(), "path": path}}))


if __name__ == "__main__":
    main()
