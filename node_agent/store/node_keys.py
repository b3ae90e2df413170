"""What the registry's events say of every node, kept as a log so that a reorganisation only deletes its tail."""

import sqlite3
from dataclasses import dataclass

from soterone.domain.ids import Account, Hash32


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node as of one event. `tls_key_hash` is None once it has unregistered."""

    account: Account
    block_number: int
    log_index: int
    operator: Account
    roles: int
    version: int
    incarnation: int
    tls_key_hash: Hash32 | None
    suspended: bool


class NodeKeys:
    """The log of nodes; the newest row of an account is the one that holds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def append(self, key: NodeKey) -> None:
        """Record a node as of one event; idempotent for one (block, log index)."""
        self._connection.execute(
            "INSERT OR REPLACE INTO node_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key.account,
                key.block_number,
                key.log_index,
                key.operator,
                key.roles,
                key.version,
                key.incarnation,
                key.tls_key_hash,
                int(key.suspended),
            ),
        )

    def latest(self, account: Account) -> NodeKey | None:
        """Return the node as it stands now, None when it was never registered."""
        row = self._connection.execute(
            "SELECT * FROM node_keys WHERE account = ? ORDER BY block_number DESC, log_index DESC LIMIT 1",
            (account,),
        ).fetchone()
        return NodeKey(**{**dict(row), "suspended": bool(row["suspended"])}) if row else None

    def active(self) -> list[NodeKey]:
        """Return every node that is registered and not suspended, by account."""
        accounts = self._connection.execute("SELECT DISTINCT account FROM node_keys ORDER BY account")
        found = (self.latest(Account(row["account"])) for row in accounts)
        return [one for one in found if one is not None and one.tls_key_hash and not one.suspended]

    def account_of(self, tls_key_hash: Hash32) -> Account | None:
        """Return the registered account whose key this is now, None when there is none (or more than one)."""
        accounts = {
            row["account"]
            for row in self._connection.execute(
                "SELECT DISTINCT account FROM node_keys WHERE tls_key_hash = ?", (tls_key_hash,)
            )
        }
        holders = [a for a in accounts if (key := self.latest(a)) and key.tls_key_hash == tls_key_hash]
        return Account(holders[0]) if len(holders) == 1 else None

    def rewind(self, first_block: int) -> None:
        """Forget what came in `first_block` or later."""
        self._connection.execute("DELETE FROM node_keys WHERE block_number >= ?", (first_block,))
