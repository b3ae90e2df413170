"""What the coordinator counts as announced, and what may be written to the chain once more."""

from coordinator.chain import outbox
from coordinator.database import Database
from coordinator.models.chain import OutboxAttempt, OutboxEntry
from coordinator.models.queries import Query
from coordinator.queries.facts import _announced
from soterone.chain.calls import Call
from soterone.chain.outbox import RowState
from soterone.domain.ids import Account
from soterone.domain.lifecycle import Announcement

QUERY = "0x" + "1" * 64
CONTRACT = Account("0x" + "2" * 40)


def test_a_settlement_that_somebody_else_made_is_not_announced_for_ever() -> None:
    refused = OutboxEntry(action=Announcement.SETTLE, state=RowState.REVERTED)
    assert Announcement.SETTLE not in _announced(Query(generation=0), [refused])
    assert Announcement.SETTLE in _announced(Query(generation=0, settled_at=1.0), [refused])


async def test_a_cancellation_that_the_chain_refused_may_be_signed_anew(database: Database) -> None:
    name = outbox.key(QUERY, Announcement.CANCEL)
    first, second = (Call(CONTRACT, data, "cancel") for data in (b"first", b"second"))
    async with database.transaction() as session:
        assert await outbox.enqueue_anew(session, name, first)
        assert not await outbox.enqueue_anew(session, name, second)
    async with database.transaction() as session:
        entry = await outbox.find(session, name)
        assert entry is not None
        entry.state = RowState.REVERTED
        session.add(
            OutboxAttempt(
                entry=entry.id, number=0, transaction_hash=QUERY, raw=b"", nonce=1, gas_limit=1,
                max_fee_wei="1", priority_fee_wei="1", signed_at=1.0,
            )
        )  # fmt: skip
        await session.flush()
        assert not await outbox.enqueue(session, name, second)
        assert await outbox.enqueue_anew(session, name, second)
    async with database.reading() as session:
        (row,) = await outbox.rows_of(session, QUERY)
        assert (row.state, row.data) == (RowState.DUE, b"second")


async def test_what_the_chain_refused_is_tried_again_only_after_a_while(database: Database) -> None:
    name, call = outbox.key(QUERY, Announcement.CLEANUP), Call(CONTRACT, b"cleanup", "cleanup")
    async with database.transaction() as session:
        assert await outbox.enqueue_anew(session, name, call, 30.0)
        entry = await outbox.find(session, name)
        assert entry is not None
        entry.state = RowState.REVERTED
        await session.flush()
        assert not await outbox.enqueue_anew(session, name, call, 30.0)
        entry.created_at -= 31
        await session.flush()
        assert await outbox.enqueue_anew(session, name, call, 30.0)
