"""The outbox as the sender sees it (`soterone.chain.outbox.Outbox`), in SQL."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import Database, database_now, exclusive
from coordinator.models.chain import OutboxAttempt, OutboxEntry, SenderLease
from coordinator.models.queries import Query
from coordinator.wakeups import Topic, Wakeups
from soterone.chain.calls import Call
from soterone.chain.outbox import Attempt, Inclusion, OutboxRow, Outstanding, Refusal, RowState
from soterone.chain.records import BlockRef
from soterone.domain.ids import Account, hash32

_OUTSTANDING = (RowState.SENT, RowState.MINED)


class SqlOutbox:
    """Every method is one transaction; who waits for a row's fate hears of it by `Topic.CHAIN`."""

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self._database, self._wakeups = database, wakeups

    async def lease(self, sender: Account, holder: str, seconds: float) -> bool:
        """See Outbox."""
        async with self._database.transaction() as session:
            await exclusive(session, f"sender {sender}")
            found = await session.get(SenderLease, sender)
            now = float((await session.scalar(select(database_now()))) or 0.0)
            if found is not None and found.holder != holder and found.expires_at > now:
                return False
            await session.merge(SenderLease(account=sender, holder=holder, expires_at=now + seconds))
        return True

    async def release(self, sender: Account, holder: str) -> None:
        """See Outbox."""
        mine = (col(SenderLease.account) == sender, col(SenderLease.holder) == holder)
        async with self._database.transaction() as session:
            await session.execute(delete(SenderLease).where(*mine))

    async def due(self, limit: int) -> Sequence[OutboxRow]:
        """See Outbox."""
        async with self._database.reading() as session:
            found = await session.scalars(
                select(OutboxEntry)
                .where(col(OutboxEntry.state) == RowState.DUE)
                .order_by(col(OutboxEntry.id))
                .limit(limit)
            )
            return [_row(entry) for entry in found]

    async def outstanding(self, sender: Account) -> Sequence[Outstanding]:
        """See Outbox."""
        async with self._database.reading() as session:
            found = await session.execute(
                select(OutboxEntry, OutboxAttempt)
                .join(OutboxAttempt, col(OutboxAttempt.entry) == col(OutboxEntry.id))
                .where(col(OutboxEntry.sender) == sender, col(OutboxEntry.state).in_(_OUTSTANDING))
                .order_by(col(OutboxEntry.id), col(OutboxAttempt.number))
            )
            grouped: dict[str, tuple[OutboxEntry, list[Attempt]]] = {}
            for entry, attempt in found:
                grouped.setdefault(entry.key, (entry, []))[1].append(_attempt(attempt))
        rows = [
            Outstanding(_row(entry), tuple(attempts), _inclusion(entry))
            for entry, attempts in grouped.values()
        ]
        return sorted(rows, key=lambda one: one.nonce)

    async def save_attempt(self, key: str, sender: Account, attempt: Attempt, known_attempts: int) -> bool:
        """See Outbox."""
        async with self._database.transaction() as session:
            entry = await _entry(session, key)
            if not await _may_attempt(session, entry, sender, attempt, known_attempts):
                return False
            entry.state, entry.sender = RowState.SENT, sender
            session.add(
                OutboxAttempt(
                    entry=entry.id or 0,
                    number=known_attempts,
                    transaction_hash=attempt.transaction_hash,
                    raw=attempt.raw,
                    nonce=attempt.nonce,
                    gas_limit=attempt.gas_limit,
                    max_fee_wei=str(attempt.max_fee_wei),
                    priority_fee_wei=str(attempt.priority_fee_wei),
                    signed_at=float((await session.scalar(select(database_now()))) or 0.0),
                )
            )
        return True

    async def mark_mined(self, key: str, inclusion: Inclusion) -> None:
        """See Outbox."""
        async with self._database.transaction() as session:
            entry = await _entry(session, key)
            entry.state = RowState.MINED
            _include(entry, inclusion)
        self._wakeups.notify(Topic.CHAIN)

    async def mark_unmined(self, key: str) -> None:
        """See Outbox."""
        async with self._database.transaction() as session:
            entry = await _entry(session, key)
            entry.state = RowState.SENT
            _include(entry, None)

    async def mark_final(self, key: str) -> None:
        """See Outbox."""
        async with self._database.transaction() as session:
            (await _entry(session, key)).state = RowState.FINAL

    async def mark_reverted(self, key: str, refusal: Refusal, inclusion: Inclusion | None) -> None:
        """See Outbox. The query that the transaction is about becomes due."""
        async with self._database.transaction() as session:
            about = select(col(OutboxEntry.business_id)).where(col(OutboxEntry.key) == key).scalar_subquery()
            await session.execute(update(Query).where(col(Query.id) == about).values(due_at=database_now()))
            entry = await _entry(session, key)
            entry.state, entry.error_name, entry.error = RowState.REVERTED, refusal.name, refusal.sentence
            _include(entry, inclusion)
        self._wakeups.notify(Topic.CHAIN, Topic.QUERIES)

    async def reopen(self, key: str) -> None:
        """See Outbox."""
        async with self._database.transaction() as session:
            entry = await _entry(session, key)
            if entry.state != RowState.SENT:
                return
            for attempt in await _attempts(session, entry):
                await session.delete(attempt)
            entry.state, entry.sender = RowState.DUE, ""
        self._wakeups.notify(Topic.OUTBOX)


async def _entry(session: AsyncSession, key: str) -> OutboxEntry:
    statement = select(OutboxEntry).where(col(OutboxEntry.key) == key).with_for_update()
    return (await session.scalars(statement)).one()


async def _attempts(session: AsyncSession, entry: OutboxEntry) -> list[OutboxAttempt]:
    statement = select(OutboxAttempt).where(col(OutboxAttempt.entry) == entry.id)
    return list(await session.scalars(statement.order_by(col(OutboxAttempt.number))))


async def _may_attempt(
    session: AsyncSession, entry: OutboxEntry, sender: Account, attempt: Attempt, known_attempts: int
) -> bool:
    if entry.state != (RowState.SENT if known_attempts else RowState.DUE):
        return False
    if entry.sender not in ("", sender) or len(await _attempts(session, entry)) != known_attempts:
        return False
    holder = select(col(OutboxEntry.id)).join(OutboxAttempt, col(OutboxAttempt.entry) == col(OutboxEntry.id))
    taken = await session.scalars(
        holder.where(
            col(OutboxEntry.sender) == sender,
            col(OutboxEntry.state).in_(_OUTSTANDING),
            col(OutboxEntry.id) != entry.id,
            col(OutboxAttempt.nonce) == attempt.nonce,
        )
    )
    return taken.first() is None


def _include(entry: OutboxEntry, inclusion: Inclusion | None) -> None:
    entry.transaction_hash = inclusion.transaction_hash if inclusion else None
    entry.block_number = inclusion.block.number if inclusion else None
    entry.block_hash = inclusion.block.hash if inclusion else None
    entry.gas_used = inclusion.gas_used if inclusion else None


def _row(entry: OutboxEntry) -> OutboxRow:
    return OutboxRow(
        entry.key, Call(Account(entry.recipient), entry.data, entry.description), entry.gas_limit
    )


def _attempt(attempt: OutboxAttempt) -> Attempt:
    return Attempt(
        hash32(attempt.transaction_hash),
        attempt.raw,
        attempt.nonce,
        attempt.gas_limit,
        int(attempt.max_fee_wei),
        int(attempt.priority_fee_wei),
    )


def _inclusion(entry: OutboxEntry) -> Inclusion | None:
    if entry.transaction_hash is None or entry.block_number is None or entry.block_hash is None:
        return None
    block = BlockRef(entry.block_number, hash32(entry.block_hash))
    return Inclusion(hash32(entry.transaction_hash), block, entry.gas_used or 0)
