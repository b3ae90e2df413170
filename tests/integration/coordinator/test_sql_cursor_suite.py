"""The coordinator's cursor passes the suite of all cursors."""

import pytest
from suites.cursor_store import CursorStoreSuite

from coordinator.chain.sql_cursor import SqlCursorStore
from coordinator.database import Database
from coordinator.wakeups import Wakeups


class TestSqlCursor(CursorStoreSuite):
    @pytest.fixture(autouse=True)
    async def _fresh(self, database: Database, request: pytest.FixtureRequest) -> None:
        self.database = database
        self.store = await self.make(request)

    async def make(self, request: pytest.FixtureRequest) -> SqlCursorStore:
        return SqlCursorStore(self.database, Wakeups())
