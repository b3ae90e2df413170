"""The agent's cursor passes the suite of all cursors."""

from pathlib import Path

import pytest
from suites.cursor_store import CursorStoreSuite

from node_agent.chain_watch import StoreCursor
from node_agent.store import Store


class TestAgentCursor(CursorStoreSuite):
    async def make(self, request: pytest.FixtureRequest) -> StoreCursor:
        folder: Path = request.getfixturevalue("tmp_path")
        store = Store.open(folder / "agent.sqlite")
        request.addfinalizer(store.close)
        return StoreCursor(store)
