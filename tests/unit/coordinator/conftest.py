"""Unit tests open no socket: their database is a SQLite file."""

from pathlib import Path

import pytest
from fixtures.database import sqlite_url


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)
