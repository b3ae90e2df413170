"""A connection that is closed beneath an unfinished statement locks nobody out."""

import sqlite3
from pathlib import Path

from coordinator.sqlite_connection import ReleasingConnection


def test_closing_gives_the_lock_back(tmp_path: Path) -> None:
    file = tmp_path / "rows.sqlite"
    given_up = sqlite3.connect(file, isolation_level=None, factory=ReleasingConnection)
    given_up.execute("CREATE TABLE rows (number INTEGER)")
    given_up.execute("INSERT INTO rows VALUES (1), (2)")
    given_up.execute("BEGIN IMMEDIATE")
    given_up.execute("INSERT INTO rows VALUES (3)")
    unfinished = given_up.execute("SELECT number FROM rows")
    assert next(unfinished) == (1,)
    given_up.close()
    given_up.close()
    next_one = sqlite3.connect(file, isolation_level=None, timeout=0)
    next_one.execute("BEGIN IMMEDIATE")
    assert next_one.execute("SELECT count(*) FROM rows").fetchone() == (2,)
    next_one.execute("ROLLBACK")
    next_one.close()
