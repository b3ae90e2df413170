"""The outbox in SQL passes the suite of all outboxes, and tells whoever waits for a row."""

import pytest
from suites.outbox import SENDER, OutboxSuite, attempt, inclusion, row

from coordinator.chain import outbox
from coordinator.chain.sql_outbox import SqlOutbox
from coordinator.database import Database
from coordinator.wakeups import Topic, Wakeups
from soterone.chain.outbox import OutboxRow, Refusal, RowState


class TestSqlOutbox(OutboxSuite):
    @pytest.fixture(autouse=True)
    def _database(self, database: Database) -> None:
        self.database, self.wakeups = database, Wakeups()

    @pytest.fixture(autouse=True)
    async def _fresh(self, _database: None) -> None:
        self.outbox = await self.make()

    async def make(self) -> SqlOutbox:
        return SqlOutbox(self.database, self.wakeups)

    async def enqueue(self, row: OutboxRow) -> bool:
        async with self.database.transaction() as session:
            return await outbox.enqueue(session, _Plain(row.key, ""), row.call, row.gas_limit)

    async def state_of(self, key: str) -> RowState:
        async with self.database.reading() as session:
            found = await outbox.find(session, _Plain(key, ""))
        assert found is not None
        return RowState(found.state)

    async def test_who_waits_for_a_row_is_told_of_its_fate(self) -> None:
        await self.enqueue(row("a"))
        await self.outbox.save_attempt("a", SENDER, attempt(1), 0)
        with self.wakeups.listen(Topic.CHAIN) as bell:
            await self.outbox.mark_mined("a", inclusion(5))
            assert await bell.wait(0.1)
            await self.outbox.mark_reverted("a", Refusal("Bad", "It is bad."), None)
            assert await bell.wait(0.1)
        async with self.database.reading() as session:
            found = await outbox.find(session, _Plain("a", ""))
        assert found is not None
        assert (found.error_name, found.error, found.transaction_hash) == ("Bad", "It is bad.", None)


class _Plain(outbox.OutboxKey):
    """A key that is only its business id, as the suite's keys are."""

    def __str__(self) -> str:
        return self.business_id


async def test_a_row_is_part_of_the_transaction_that_wrote_it(database: Database) -> None:
    name = outbox.key("0x01", "dispatch")

    async def write_and_fail() -> None:
        async with database.transaction() as session:
            assert await outbox.enqueue(session, name, row("a").call)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_and_fail()
    async with database.transaction() as session:
        assert await outbox.find(session, name) is None
        assert await outbox.enqueue(session, name, row("a").call)
        assert not await outbox.enqueue(session, name, row("b").call)
        assert await outbox.depth(session) == {"due": 1, "sent": 0}
