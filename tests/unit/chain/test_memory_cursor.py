"""The cursor in memory passes the suite of all cursors."""

import pytest
from suites.cursor_store import CursorStoreSuite

from soterone.chain.cursor import InMemoryCursorStore


class TestMemoryCursor(CursorStoreSuite):
    async def make(self, request: pytest.FixtureRequest) -> InMemoryCursorStore:
        return InMemoryCursorStore()
