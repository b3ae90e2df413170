"""All SQL over datasets."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Select, and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import database_now
from coordinator.liveness import is_online
from coordinator.models.datasets import Dataset, DatasetTag
from coordinator.models.nodes import Node, NodeLiveness, NodeStatus
from soterone.domain.metadata import DatasetMetadata


@dataclass(frozen=True, slots=True)
class DatasetFilter:
    """What to show of the catalog; every given condition must hold."""

    text: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""
    rows_at_least: int = 0
    online_only: bool = False


@dataclass(frozen=True, slots=True)
class DatasetView:
    """A dataset with whether its owner is online now."""

    owner: str
    metadata: DatasetMetadata
    online: bool


async def get(session: AsyncSession, dataset: str) -> Dataset | None:
    """Return a dataset, withdrawn or not; None when the id was never used."""
    return await session.get(Dataset, dataset)


async def published(session: AsyncSession, ids: Collection[str]) -> dict[str, tuple[str, DatasetMetadata]]:
    """Return owner and metadata of those of the ids that are published and not withdrawn."""
    found = await session.scalars(
        select(Dataset).where(col(Dataset.id).in_(ids), col(Dataset.withdrawn_at).is_(None))
    )
    return {row.id: (row.owner, metadata_of(row)) for row in found}


async def commitments(session: AsyncSession, owners: Collection[str]) -> dict[str, list[DatasetMetadata]]:
    """Return, by owner, what is published with a commitment to its rows."""
    statement = select(Dataset).where(col(Dataset.owner).in_(owners), col(Dataset.withdrawn_at).is_(None))
    found: dict[str, list[DatasetMetadata]] = {owner: [] for owner in owners}
    for row in await session.scalars(statement.order_by(col(Dataset.id))):
        if (metadata := metadata_of(row)).commitment is not None:
            found[row.owner].append(metadata)
    return found


async def count_of(session: AsyncSession, owner: str) -> int:
    """Return how many datasets an owner publishes now."""
    statement = select(func.count()).where(col(Dataset.owner) == owner, col(Dataset.withdrawn_at).is_(None))
    return int(await session.scalar(statement) or 0)


async def put(session: AsyncSession, owner: str, metadata: DatasetMetadata) -> None:
    """Write a dataset, new or changed, with its tags."""
    now = float(await session.scalar(select(database_now())) or 0.0)
    await session.merge(
        Dataset(
            id=metadata.id,
            owner=owner,
            name=metadata.name,
            rows_at_least=metadata.rows_at_least,
            rows_below=metadata.rows_below,
            search_text=_search_text(metadata),
            metadata_json=metadata.model_dump_json(),
            published_at=now,
        )
    )
    await session.flush()
    await session.execute(delete(DatasetTag).where(col(DatasetTag.dataset) == metadata.id))
    session.add_all(DatasetTag(dataset=metadata.id, tag=tag) for tag in set(metadata.tags))
    await session.flush()


async def withdraw(session: AsyncSession, dataset: Dataset) -> None:
    """Keep the id alone, so that nobody else takes it."""
    dataset.withdrawn_at = float(await session.scalar(select(database_now())) or 0.0)
    dataset.name = dataset.search_text = dataset.metadata_json = ""
    await session.execute(delete(DatasetTag).where(col(DatasetTag.dataset) == dataset.id))
    await session.flush()


async def page(session: AsyncSession, wanted: DatasetFilter, after: str, limit: int) -> list[DatasetView]:
    """Return up to `limit` datasets of active owners after an id, by id."""
    statement = _narrowed(_visible(), wanted).where(col(Dataset.id) > after)
    rows = await session.execute(statement.order_by(col(Dataset.id)).limit(limit))
    return [DatasetView(row.owner, metadata_of(row), bool(alive)) for row, alive in rows]


async def groups(
    session: AsyncSession, wanted: DatasetFilter, by: Literal["tag", "owner"], limit: int
) -> list[tuple[str, int]]:
    """Return the largest groups of the filtered datasets, by tag or owner, with their sizes."""
    key = col(DatasetTag.tag) if by == "tag" else col(Dataset.owner)
    statement = _narrowed(_visible(), wanted)
    if by == "tag":
        statement = statement.join(DatasetTag, col(DatasetTag.dataset) == col(Dataset.id))
    size = func.count().label("size")
    grouped = statement.with_only_columns(key, size).group_by(key).order_by(size.desc(), key).limit(limit)
    return [(name, int(count)) for name, count in await session.execute(grouped)]


def metadata_of(row: Dataset) -> DatasetMetadata:
    """Return a row's metadata."""
    return DatasetMetadata.model_validate_json(row.metadata_json)


def _visible() -> Select[Dataset, bool]:
    return (
        select(Dataset, func.coalesce(is_online(), False))
        .join(Node, col(Node.account) == col(Dataset.owner))
        .outerjoin(NodeLiveness, col(NodeLiveness.account) == col(Dataset.owner))
        .where(col(Dataset.withdrawn_at).is_(None), col(Node.status) == NodeStatus.ACTIVE)
    )


def _search_text(metadata: DatasetMetadata) -> str:
    columns = [column.name for column in metadata.columns]
    return "\n".join([metadata.name, metadata.description, *metadata.tags, *columns]).lower()


def _narrowed(statement: Select[Dataset, bool], wanted: DatasetFilter) -> Select[Dataset, bool]:
    for tag in wanted.tags:
        tagged = select(col(DatasetTag.dataset)).where(
            and_(col(DatasetTag.tag) == tag, col(DatasetTag.dataset) == col(Dataset.id))
        )
        statement = statement.where(tagged.exists())
    for word in wanted.text.lower().split():
        statement = statement.where(col(Dataset.search_text).contains(word, autoescape=True))
    if wanted.rows_at_least:
        statement = statement.where(col(Dataset.rows_at_least) >= wanted.rows_at_least)
    if wanted.owner:
        statement = statement.where(col(Dataset.owner) == wanted.owner)
    if wanted.online_only:
        statement = statement.where(is_online())
    return statement
