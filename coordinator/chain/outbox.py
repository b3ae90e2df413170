"""The outbox as its writers see it: a row in the transaction that decided it, later sent by the sender."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import database_now
from coordinator.models.chain import OutboxRow
from soterone.chain.calls import Call

_DESCRIPTION_LENGTH = 200


class OutboxState(StrEnum):
    """`WAITING` to be signed, `SENT` from the signing on, `MINED` or `REVERTED` once in a block."""

    WAITING = "waiting"
    SENT = "sent"
    MINED = "mined"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True)
class OutboxKey:
    """What a transaction is about: written once, however often it is asked for."""

    business_id: str
    action: str
    generation: int = 0


def key(business_id: str, action: str, generation: int = 0) -> OutboxKey:
    """Return the name of a transaction: a query id or an account, what is done, and in which generation."""
    return OutboxKey(business_id, action, generation)


async def enqueue(session: AsyncSession, name: OutboxKey, call: Call) -> bool:
    """Write a transaction to send in the present database transaction; False when it was written before.

    Notify `Topic.OUTBOX` after the commit.
    """
    if await find(session, name) is not None:
        return False
    session.add(
        OutboxRow(
            business_id=name.business_id,
            action=name.action,
            generation=name.generation,
            recipient=call.to,
            data=call.data,
            description=call.description[:_DESCRIPTION_LENGTH],
            state=OutboxState.WAITING,
            created_at=float((await session.scalar(select(database_now()))) or 0.0),
        )
    )
    await session.flush()
    return True


async def find(session: AsyncSession, name: OutboxKey) -> OutboxRow | None:
    """Return the row of a name, None when nobody wrote it."""
    found = await session.scalars(
        select(OutboxRow).where(
            col(OutboxRow.business_id) == name.business_id,
            col(OutboxRow.action) == name.action,
            col(OutboxRow.generation) == name.generation,
        )
    )
    return found.first()


async def rows_of(session: AsyncSession, business_id: str) -> list[OutboxRow]:
    """Return every transaction about a query or an account, oldest first."""
    found = await session.scalars(
        select(OutboxRow).where(col(OutboxRow.business_id) == business_id).order_by(col(OutboxRow.id))
    )
    return list(found)
