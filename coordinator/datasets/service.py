"""The dataset metadata manager: owners publish and withdraw masked metadata; nobody ever sends a row."""

import json
import unicodedata
from collections.abc import Collection
from typing import Final

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.database import exclusive
from coordinator.datasets import repository
from coordinator.datasets.errors import (
    BadMetadata,
    DatasetTaken,
    RowsChanged,
    TooManyDatasets,
    UnknownDataset,
)
from soterone.domain.ids import Account, DatasetId
from soterone.domain.metadata import DatasetMetadata
from soterone.domain.spec import describe

MAX_DATASETS: Final = 200
MAX_METADATA_BYTES: Final = 1 << 19


async def publish(session: AsyncSession, owner: Account, metadata: DatasetMetadata) -> DatasetId:
    """Put a dataset into the catalog, or change it; the same metadata again change nothing."""
    await exclusive(session, "datasets")
    known = await repository.get(session, metadata.id)
    if known is not None and (known.owner != owner or known.withdrawn_at is not None):
        raise DatasetTaken(metadata.id)
    if known is not None and repository.metadata_of(known).commitment not in (None, metadata.commitment):
        raise RowsChanged(metadata.id)
    if known is None and await repository.count_of(session, owner) >= MAX_DATASETS:
        raise TooManyDatasets(MAX_DATASETS)
    await repository.put(session, owner, metadata)
    return metadata.id


async def commitments(session: AsyncSession, owners: Collection[str]) -> dict[str, list[DatasetMetadata]]:
    """Return, by owner, what is published with a commitment to its rows."""
    return await repository.commitments(session, owners)


async def withdraw(session: AsyncSession, owner: Account, dataset: str) -> None:
    """Take a dataset out of the catalog for good; doing it again is fine."""
    known = await repository.get(session, dataset)
    if known is None or known.owner != owner:
        raise UnknownDataset(dataset)
    if known.withdrawn_at is None:
        await repository.withdraw(session, known)


def parse_metadata(text: str) -> DatasetMetadata:
    """Return metadata from JSON; BadMetadata when it does not fit, is too large or tries to deceive a reader."""
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise BadMetadata(f"more than {MAX_METADATA_BYTES} bytes")
    try:
        metadata = DatasetMetadata.model_validate(json.loads(text))
    except ValidationError as error:
        raise BadMetadata(describe(error)) from error
    except (ValueError, RecursionError) as error:
        raise BadMetadata("not JSON") from error
    if metadata.rows_below <= metadata.rows_at_least:
        raise BadMetadata("rows_below must be more than rows_at_least")
    names = [column.name for column in metadata.columns]
    if len(set(names)) != len(names):
        raise BadMetadata("two columns have the same name")
    for shown in (metadata.description, *names):
        if any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in shown):
            raise BadMetadata("a text has control or direction characters")
    return metadata
