"""What this node, as a detector, has seen of others; one row an epoch and node, JSON of `detection.findings`."""

import sqlite3

from soterone.domain.ids import Account


class FindingsTable:
    """The table of findings."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def save(self, epoch: int, node: Account, findings: str) -> None:
        """Insert or replace what was seen of a node."""
        self._connection.execute(
            "INSERT OR REPLACE INTO findings VALUES (?, ?, ?)",
            (epoch, node, findings),
        )

    def get(self, epoch: int, node: Account) -> str | None:
        """Return what was seen of a node, None for nothing."""
        row = self._connection.execute(
            "SELECT findings FROM findings WHERE epoch = ? AND node = ?", (epoch, node)
        ).fetchone()
        return str(row["findings"]) if row else None

    def prune(self, first_epoch: int) -> None:
        """Forget epochs before this one."""
        self._connection.execute("DELETE FROM findings WHERE epoch < ?", (first_epoch,))
