"""The chain as this agent has read it: the follower's cursor, and its own queries' events until they are handled."""

import sqlite3
from dataclasses import dataclass

from soterone.domain.ids import QueryId


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event that names this node or one of its queries. `event` is its JSON."""

    block_number: int
    log_index: int
    query_id: QueryId
    name: str
    event: str


class ChainLog:
    """Cursor and inbox. Rows enter in the transaction that moves the cursor, so that a kill loses none."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def cursor(self, chain_id: int) -> tuple[int, str] | None:
        """Return (number, hash) of the last block read, None before the first."""
        row = self._connection.execute(
            "SELECT number, hash FROM cursor WHERE chain_id = ?", (chain_id,)
        ).fetchone()
        return (row["number"], row["hash"]) if row else None

    def move_cursor(self, chain_id: int, old: tuple[int, str] | None, new: tuple[int, str]) -> bool:
        """Compare and set the cursor; False when it no longer stands at `old`."""
        if old is None:
            statement = "INSERT OR IGNORE INTO cursor VALUES (?, ?, ?)"
            return bool(self._connection.execute(statement, (chain_id, *new)).rowcount)
        statement = "UPDATE cursor SET number = ?, hash = ? WHERE chain_id = ? AND number = ? AND hash = ?"
        return bool(self._connection.execute(statement, (*new, chain_id, *old)).rowcount)

    def append(self, event: LoggedEvent) -> None:
        """Queue an event; idempotent for one (block, log index)."""
        self._connection.execute(
            "INSERT OR IGNORE INTO chain_log VALUES (?, ?, ?, ?, ?, 0)",
            (event.block_number, event.log_index, event.query_id, event.name, event.event),
        )

    def knows(self, query_id: QueryId) -> bool:
        """Say whether an event of this query was queued before."""
        found = self._connection.execute("SELECT 1 FROM chain_log WHERE query_id = ? LIMIT 1", (query_id,))
        return found.fetchone() is not None

    def unhandled(self) -> list[LoggedEvent]:
        """Return queued events in the chain's order."""
        rows = self._connection.execute(
            "SELECT block_number, log_index, query_id, name, event FROM chain_log WHERE handled = 0"
            " ORDER BY block_number, log_index"
        )
        return [LoggedEvent(**dict(row)) for row in rows]

    def of_query(self, query_id: QueryId) -> list[LoggedEvent]:
        """Return every event of a query in the chain's order, handled or not."""
        rows = self._connection.execute(
            "SELECT block_number, log_index, query_id, name, event FROM chain_log WHERE query_id = ?"
            " ORDER BY block_number, log_index",
            (query_id,),
        )
        return [LoggedEvent(**dict(row)) for row in rows]

    def mark_handled(self, event: LoggedEvent) -> None:
        """Take an event out of the queue; it stays on record."""
        self._connection.execute(
            "UPDATE chain_log SET handled = 1 WHERE block_number = ? AND log_index = ?",
            (event.block_number, event.log_index),
        )

    def rewind(self, first_block: int) -> None:
        """Forget what came in `first_block` or later; it is queued anew when it is mined again."""
        self._connection.execute("DELETE FROM chain_log WHERE block_number >= ?", (first_block,))
