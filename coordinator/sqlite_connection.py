"""SQLite connections that give their lock back when they are closed, whatever was left unfinished on them."""

import sqlite3
from contextlib import suppress


class ReleasingConnection(sqlite3.Connection):
    """Rolls back before it closes, for `sqlite3.connect(…, factory=…)`.

    A connection closed beneath a statement that a cancelled task left unfinished stays half open until that statement
    is collected as garbage (`sqlite3_close_v2`), and keeps the write lock for as long.
    """

    def close(self) -> None:
        """Undo what is open, then close; again is harmless."""
        with suppress(sqlite3.ProgrammingError):
            self.rollback()
        super().close()
