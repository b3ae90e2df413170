"""The SQLite file itself: schema, version and transactions. Each table has a module of its own beside this one."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node_agent.errors import AgentError
from node_agent.store.approvals import Approvals
from node_agent.store.ballots import BallotTable
from node_agent.store.chain_log import ChainLog
from node_agent.store.datasets import Datasets
from node_agent.store.findings import FindingsTable
from node_agent.store.node_keys import NodeKeys
from node_agent.store.sessions import SessionTable

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE trail (number INTEGER PRIMARY KEY, hash TEXT NOT NULL) STRICT;
CREATE TABLE chain_log (
    block_number INTEGER NOT NULL, log_index INTEGER NOT NULL, query_id TEXT NOT NULL,
    name TEXT NOT NULL, event TEXT NOT NULL, handled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (block_number, log_index)
) STRICT;
CREATE INDEX chain_log_by_query ON chain_log (query_id);
CREATE TABLE node_keys (
    account TEXT NOT NULL, block_number INTEGER NOT NULL, log_index INTEGER NOT NULL,
    operator TEXT NOT NULL, roles INTEGER NOT NULL, version INTEGER NOT NULL, incarnation INTEGER NOT NULL,
    tls_key_hash TEXT, suspended INTEGER NOT NULL,
    PRIMARY KEY (account, block_number, log_index)
) STRICT;
CREATE TABLE sessions (
    query_id TEXT PRIMARY KEY, state TEXT NOT NULL, generation INTEGER NOT NULL, attempt INTEGER NOT NULL,
    description BLOB NOT NULL, "order" TEXT NOT NULL, reason INTEGER NOT NULL, sentence TEXT NOT NULL
) STRICT;
CREATE TABLE datasets (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, source TEXT NOT NULL, metadata TEXT NOT NULL,
    columns TEXT NOT NULL, published INTEGER NOT NULL, created_at TEXT NOT NULL, salt BLOB NOT NULL DEFAULT x''
) STRICT;
CREATE TABLE approvals (
    id TEXT PRIMARY KEY, customer TEXT NOT NULL, spec_hash TEXT NOT NULL, spec_json TEXT NOT NULL,
    state TEXT NOT NULL, query_id TEXT, asked_at TEXT NOT NULL
) STRICT;
"""
_DETECTION = """
CREATE TABLE findings (
    epoch INTEGER NOT NULL, node TEXT NOT NULL, findings TEXT NOT NULL, PRIMARY KEY (epoch, node)
) STRICT;
CREATE TABLE ballots (
    epoch INTEGER NOT NULL, node TEXT NOT NULL, member TEXT NOT NULL, kind INTEGER NOT NULL,
    signature_hash BLOB NOT NULL, vote BLOB NOT NULL DEFAULT x'', evidence TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (epoch, node, member, kind)
) STRICT;
"""
_UPGRADES = {1: "ALTER TABLE datasets ADD COLUMN salt BLOB NOT NULL DEFAULT x'';" + _DETECTION}
"""What makes a store of a version one of the next."""


class StoreError(AgentError):
    """The store cannot be opened; the text says what to do."""


class Store:
    """The agent's memory. Not for use from two threads; several processes may open the same file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.chain_log = ChainLog(connection)
        self.node_keys = NodeKeys(connection)
        self.sessions = SessionTable(connection)
        self.datasets = Datasets(connection)
        self.approvals = Approvals(connection)
        self.findings = FindingsTable(connection)
        self.ballots = BallotTable(connection)

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Open the file, creating it (mode 0600) when absent; StoreError when it is not a store of this version."""
        path.touch(mode=0o600, exist_ok=True)
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=10)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection, path)
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{path} cannot be read as the agent's store ({error}). Restore it from a backup, or move it"
                " away: the agent then starts with an empty one and reads the chain again."
            ) from error
        return cls(connection)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block as one write transaction, undone when it raises. Never await inside."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    script = _SCHEMA + _DETECTION if found == 0 else _UPGRADES.get(found, "")
    if script:
        for statement in script.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    if not script and found != SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by another version of soter-node (schema {found}). Run that one."
        )
