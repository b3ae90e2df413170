"""The outbox as its writers see it: a row in the transaction that decided it, later sent by the sender."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import database_now, exclusive
from coordinator.models.chain import OutboxEntry
from soterone.chain.calls import Call
from soterone.chain.outbox import RowState

_DESCRIPTION_LENGTH = 200


@dataclass(frozen=True, slots=True)
class OutboxKey:
    """What a transaction is about: written once, however often it is asked for."""

    business_id: str
    action: str
    generation: int = 0

    def __str__(self) -> str:
        return f"{self.business_id}:{self.action}:{self.generation}"


def key(business_id: str, action: str, generation: int = 0) -> OutboxKey:
    """Return the name of a transaction: a query id or another business id, what is done, in which generation."""
    return OutboxKey(business_id, action, generation)


async def enqueue(session: AsyncSession, name: OutboxKey, call: Call, gas_limit: int | None = None) -> bool:
    """Write a transaction to send in the present database transaction; False when it was written before.

    A row with a gas limit is sent without trying it out first. Notify `Topic.OUTBOX` after the commit.
    """
    await exclusive(session, f"outbox {name}")
    if await find(session, name) is not None:
        return False
    session.add(
        OutboxEntry(
            key=str(name),
            business_id=name.business_id,
            action=name.action,
            generation=name.generation,
            recipient=call.to,
            data=call.data,
            description=call.description[:_DESCRIPTION_LENGTH],
            gas_limit=gas_limit,
            state=RowState.DUE,
            created_at=float((await session.scalar(select(database_now()))) or 0.0),
        )
    )
    await session.flush()
    return True


async def enqueue_anew(
    session: AsyncSession, name: OutboxKey, call: Call, after_seconds: float = 0.0
) -> bool:
    """Write a transaction as `enqueue`, also when the chain refused one of that name, written so long ago.

    For what was signed anew since, and for what may be refused now and accepted later.
    """
    refused = await find(session, name)
    now = float((await session.scalar(select(database_now()))) or 0.0)
    if (
        refused is not None
        and refused.state == RowState.REVERTED
        and refused.created_at + after_seconds <= now
    ):
        await session.delete(refused)
        await session.flush()
    return await enqueue(session, name, call)


async def find(session: AsyncSession, name: OutboxKey) -> OutboxEntry | None:
    """Return the row of a name, None when nobody wrote it. `error` says why a reverted one was refused."""
    return (await session.scalars(select(OutboxEntry).where(col(OutboxEntry.key) == str(name)))).first()


async def rows_of(session: AsyncSession, business_id: str) -> list[OutboxEntry]:
    """Return every transaction about a query or another business id, oldest first."""
    found = await session.scalars(
        select(OutboxEntry).where(col(OutboxEntry.business_id) == business_id).order_by(col(OutboxEntry.id))
    )
    return list(found)


async def depth(session: AsyncSession) -> dict[str, int]:
    """Return how many transactions are due and how many sent but not mined."""
    rows = await session.execute(
        select(col(OutboxEntry.state), func.count())
        .where(col(OutboxEntry.state).in_((RowState.DUE, RowState.SENT)))
        .group_by(col(OutboxEntry.state))
    )
    return {str(RowState.DUE): 0, str(RowState.SENT): 0} | dict(rows.all())
