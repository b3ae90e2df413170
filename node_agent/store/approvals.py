"""Orders that wait for a person's yes. One approval serves one query: it is bound to the query that used it."""

import hashlib
import sqlite3
from dataclasses import dataclass
from typing import Literal

from soterone.domain.ids import Account, Hash32, QueryId
from soterone.domain.spec import QuerySpec

ApprovalState = Literal["pending", "approved", "denied", "used"]


@dataclass(frozen=True, slots=True)
class Approval:
    """What a customer asked for and what a person answered. `query_id` is set while a query uses it."""

    id: str
    customer: Account
    spec_hash: Hash32
    spec_json: str
    state: ApprovalState
    query_id: QueryId | None
    asked_at: str


class Approvals:
    """The table of approvals; an id is derived from customer and spec, so that asking again finds it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def ask(self, customer: Account, spec: QuerySpec, query_id: QueryId) -> Approval:
        """Return the approval of this customer and spec, queued as pending when it is new.

        An approval that another query has used counts as asked anew. Idempotent for one query id.
        """
        key = hashlib.sha256(f"{customer}{spec.hash}".encode()).hexdigest()[:12]
        self._connection.execute(
            "INSERT INTO approvals VALUES (?, ?, ?, ?, 'pending', NULL, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))"
            " ON CONFLICT (id) DO UPDATE SET state = 'pending', query_id = NULL, asked_at = excluded.asked_at"
            " WHERE approvals.state = 'used' AND approvals.query_id != ?",
            (key, customer, spec.hash, spec.canonical().decode(), query_id),
        )
        found = self.get(key)
        if found is None:
            raise LookupError(key)
        return found

    def use(self, approval_id: str, query_id: QueryId) -> bool:
        """Bind an approved order to its query; False when it is not approved or serves another query."""
        return bool(
            self._connection.execute(
                "UPDATE approvals SET state = 'used', query_id = ? WHERE id = ?"
                " AND (state = 'approved' OR state = 'used' AND query_id = ?)",
                (query_id, approval_id, query_id),
            ).rowcount
        )

    def release(self, query_id: QueryId) -> None:
        """Give an approval back whose query never came to be ordered."""
        self._connection.execute(
            "UPDATE approvals SET state = 'approved', query_id = NULL WHERE state = 'used' AND query_id = ?",
            (query_id,),
        )

    def answer(self, approval_id: str, state: Literal["approved", "denied"]) -> bool:
        """Record a person's answer; False when there is no such order or a query already uses it."""
        return bool(
            self._connection.execute(
                "UPDATE approvals SET state = ? WHERE id = ? AND state != 'used'", (state, approval_id)
            ).rowcount
        )

    def get(self, approval_id: str) -> Approval | None:
        """Return an approval, None when there is none."""
        row = self._connection.execute("SELECT * FROM approvals WHERE id = ?", (approval_id,)).fetchone()
        return Approval(**dict(row)) if row else None

    def all(self) -> list[Approval]:
        """Return every approval, newest question first."""
        rows = self._connection.execute("SELECT * FROM approvals ORDER BY asked_at DESC, id")
        return [Approval(**dict(row)) for row in rows]
