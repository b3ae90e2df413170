"""Sessions as they must survive a kill. What the states mean is decided in `node_agent.sessions`, not here."""

import sqlite3

from node_agent.sessions.ports import SessionRecord
from soterone.domain.ids import QueryId


class StaleGeneration(Exception):
    """A session was to go back to an older generation or attempt; a local memory never does."""


class SessionTable:
    """The `SessionStore` of `node_agent.sessions.ports` over SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def save_session(self, record: SessionRecord) -> None:
        """Insert or replace a session; StaleGeneration when the stored (generation, attempt) is newer."""
        changed = self._connection.execute(
            "INSERT INTO sessions VALUES (:query_id, :state, :generation, :attempt, :description, :order,"
            " :reason, :sentence)"
            " ON CONFLICT (query_id) DO UPDATE SET state = excluded.state, generation = excluded.generation,"
            " attempt = excluded.attempt, description = excluded.description,"
            ' "order" = excluded."order", reason = excluded.reason, sentence = excluded.sentence'
            " WHERE (excluded.generation, excluded.attempt) >= (sessions.generation, sessions.attempt)",
            {field: getattr(record, field) for field in SessionRecord.__slots__},
        ).rowcount
        if not changed:
            raise StaleGeneration(record.query_id)

    def session(self, query_id: QueryId) -> SessionRecord | None:
        """Return a session, None when there is none."""
        row = self._connection.execute("SELECT * FROM sessions WHERE query_id = ?", (query_id,)).fetchone()
        return SessionRecord(**dict(row)) if row else None

    def sessions(self) -> list[SessionRecord]:
        """Return every session, oldest first."""
        return [
            SessionRecord(**dict(row))
            for row in self._connection.execute("SELECT * FROM sessions ORDER BY rowid")
        ]

    def delete_session(self, query_id: QueryId) -> None:
        """Forget a session; nothing happens when there is none."""
        self._connection.execute("DELETE FROM sessions WHERE query_id = ?", (query_id,))
