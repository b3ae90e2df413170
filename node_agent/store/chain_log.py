"""The chain as this agent has read it: the trail of its cursor, and its own queries' events until they are handled."""

import sqlite3
from dataclasses import dataclass

from soterone.chain.cursor import TRAIL_BLOCKS
from soterone.chain.records import BlockRef
from soterone.domain.ids import Hash32, QueryId, hash32

_FIELDS = "block_number, log_index, query_id, name, event"


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event that names this node or one of its queries. `event` is its JSON."""

    block_number: int
    log_index: int
    query_id: QueryId
    name: str
    event: str


class ChainLog:
    """Trail and inbox. Rows enter in the transaction that moves the cursor, so that a kill loses none."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._removed: dict[int, set[Hash32]] = {}

    def hashes_at(self, number: int) -> set[Hash32]:
        """Return the hashes that this process has seen at a height: a reorganisation may have changed it."""
        row = self._connection.execute("SELECT hash FROM trail WHERE number = ?", (number,)).fetchone()
        return self._removed.get(number, set()) | ({hash32(row["hash"])} if row else set())

    def trail(self) -> list[BlockRef]:
        """Return the last positions of the cursor, newest first; empty before the first block."""
        rows = self._connection.execute("SELECT number, hash FROM trail ORDER BY number DESC")
        return [BlockRef(**dict(row)) for row in rows]

    def advance(self, *to: BlockRef) -> None:
        """Move the cursor forward over these blocks, and forget positions too old to matter."""
        self._connection.executemany(
            "INSERT INTO trail VALUES (?, ?)", [(one.number, one.hash) for one in to]
        )
        self._connection.execute(
            "DELETE FROM trail WHERE number NOT IN (SELECT number FROM trail ORDER BY number DESC LIMIT ?)",
            (TRAIL_BLOCKS,),
        )
        self._prune()

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
        return self._select("handled = 0")

    def mark_handled(self, event: LoggedEvent) -> None:
        """Take an event out of the queue; it stays on record."""
        self._connection.execute(
            "UPDATE chain_log SET handled = 1 WHERE block_number = ? AND log_index = ? AND event = ?",
            (event.block_number, event.log_index, event.event),
        )

    def rewind(self, first_block: int) -> None:
        """Forget what came in `first_block` or later; an event is queued anew when it is mined again."""
        for ref in self.trail():
            if ref.number >= first_block:
                self._removed.setdefault(ref.number, set()).add(ref.hash)
        for number in sorted(self._removed)[:-TRAIL_BLOCKS]:
            del self._removed[number]
        self._connection.execute("DELETE FROM trail WHERE number >= ?", (first_block,))
        self._connection.execute("DELETE FROM chain_log WHERE block_number >= ?", (first_block,))

    def _prune(self) -> None:
        """Forget queries that have ended, are no session any more, and lie too deep for a reorganisation."""
        self._connection.execute(
            "DELETE FROM chain_log WHERE query_id IN ("
            " SELECT query_id FROM chain_log GROUP BY query_id HAVING min(handled) = 1"
            " AND max(block_number) < (SELECT min(number) FROM trail)"
            " AND max(name IN ('QueryCompleted', 'QueryFailed', 'QueryCleanup')) = 1)"
            " AND query_id NOT IN (SELECT query_id FROM sessions)"
        )

    def _select(self, condition: str, *values: str) -> list[LoggedEvent]:
        statement = f"SELECT {_FIELDS} FROM chain_log WHERE {condition} ORDER BY block_number, log_index"  # noqa: S608
        return [LoggedEvent(**dict(row)) for row in self._connection.execute(statement, values)]
