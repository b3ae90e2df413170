"""What an operator sees of the database at a glance."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped
from sqlmodel import col

from coordinator.chain import outbox
from coordinator.database import Database
from coordinator.models.chain import TrailBlock
from coordinator.models.datasets import Dataset
from coordinator.models.nodes import Node
from coordinator.models.queries import Query
from coordinator.nodes import repository as nodes


async def read_status(database: Database) -> dict[str, Any]:
    """Return counts by status, the outbox's depth and the number of the block followed to (None before any)."""
    async with database.reading() as session:
        published = select(func.count()).where(col(Dataset.withdrawn_at).is_(None))
        return {
            "nodes": await _by(session, col(Node.status)),
            "online": await nodes.count_online(session),
            "datasets": int(await session.scalar(published) or 0),
            "queries": await _by(session, col(Query.status)),
            "outbox": await outbox.depth(session),
            "block": await session.scalar(select(func.max(TrailBlock.number))),
        }


async def _by(session: AsyncSession, column: Mapped[str]) -> dict[str, int]:
    rows = await session.execute(select(column, func.count()).group_by(column))
    return {name: int(count) for name, count in rows}
