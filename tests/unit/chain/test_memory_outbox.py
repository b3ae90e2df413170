"""The outbox in memory passes the suite of all outboxes."""

from suites.outbox import OutboxSuite

from soterone.chain.outbox import MemoryOutbox, OutboxRow, RowState


class TestMemoryOutbox(OutboxSuite):
    async def make(self) -> MemoryOutbox:
        self.memory = MemoryOutbox()
        return self.memory

    async def enqueue(self, row: OutboxRow) -> bool:
        return self.memory.enqueue(row)

    async def state_of(self, key: str) -> RowState:
        return self.memory.state_of(key)
