"""All SQL over queries, participants, shares and events."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import database_now
from coordinator.models.datasets import Dataset
from coordinator.models.queries import (
    FailureNote,
    LossComplaint,
    Participant,
    Query,
    QueryEventRow,
    Replacement,
    StoredShare,
)
from coordinator.queries.validation import KnownDataset
from soterone.domain.ids import Account
from soterone.domain.lifecycle import Stage
from soterone.domain.metadata import DatasetMetadata

UNSIGNED = (Stage.PROPOSED, Stage.RESERVED)
RUNNING = (Stage.DISPATCHED, Stage.RUNNING, Stage.RECOVERING, Stage.DELIVERING)
UNFINISHED = (*UNSIGNED, *RUNNING)


async def now(session: AsyncSession) -> float:
    """Return the database's clock as Unix seconds."""
    return float((await session.scalar(select(database_now()))) or 0.0)


async def get(session: AsyncSession, query_id: str, *, lock: bool = False) -> Query | None:
    """Return a query; locked against other writers on request (SQLite: a transaction locks all anyway).

    Whoever writes anything of a query locks it first, so that writers of one query follow each other.
    """
    return await session.get(Query, query_id, with_for_update={"key_share": True} if lock else None)


async def participants_of(session: AsyncSession, query_id: str) -> list[Participant]:
    """Return the participants, owners first, each role by rank."""
    found = await session.scalars(
        select(Participant)
        .where(col(Participant.query_id) == query_id)
        .order_by(col(Participant.role), col(Participant.rank), col(Participant.joined_generation))
    )
    return list(found)


async def participants_of_many(
    session: AsyncSession, query_ids: Collection[str]
) -> dict[str, list[Participant]]:
    """Return `participants_of` for several queries at once."""
    found = await session.scalars(
        select(Participant)
        .where(col(Participant.query_id).in_(query_ids))
        .order_by(col(Participant.role), col(Participant.rank), col(Participant.joined_generation))
    )
    by_query: dict[str, list[Participant]] = {query_id: [] for query_id in query_ids}
    for participant in found:
        by_query[participant.query_id].append(participant)
    return by_query


async def participant(session: AsyncSession, query_id: str, node: str) -> Participant | None:
    """Return a node's part in a query."""
    return await session.get(Participant, (query_id, node))


async def count_of_customer(session: AsyncSession, customer: str, stages: Sequence[Stage]) -> int:
    """Return how many queries of a customer are in one of the stages."""
    found = await session.scalar(
        select(func.count())
        .select_from(Query)
        .where(col(Query.customer) == customer, col(Query.status).in_(stages))
    )
    return int(found or 0)


async def page_of_customer(
    session: AsyncSession, customer: str, before: float | None, limit: int
) -> list[Query]:
    """Return a customer's queries, newest first, created before a moment."""
    statement = select(Query).where(col(Query.customer) == customer)
    if before is not None:
        statement = statement.where(col(Query.created_at) < before)
    return list(await session.scalars(statement.order_by(col(Query.created_at).desc()).limit(limit)))


async def known_datasets(session: AsyncSession, ids: Collection[str]) -> dict[str, KnownDataset]:
    """Return those of the datasets that the catalog has or had."""
    found = await session.scalars(select(Dataset).where(col(Dataset.id).in_(ids)))
    return {one.id: KnownDataset(one.id, Account(one.owner), _metadata(one)) for one in found}


def _metadata(dataset: Dataset) -> DatasetMetadata | None:
    if dataset.withdrawn_at is not None:
        return None
    return DatasetMetadata.model_validate_json(dataset.metadata_json)


async def add_event(
    session: AsyncSession, query_id: str, kind: str, data: Mapping[str, Any] | None = None
) -> int:
    """Append to a query's audit trail and return the sequence, 1 for the first. `data` must hold no secret."""
    await session.execute(
        select(col(Query.id)).where(col(Query.id) == query_id).with_for_update(key_share=True)
    )
    row = QueryEventRow(
        query_id=query_id,
        sequence=await last_sequence(session, query_id) + 1,
        kind=kind,
        at=await now(session),
        data_json=json.dumps(dict(data or {}), separators=(",", ":")),
    )
    session.add(row)
    await session.flush()
    return row.sequence


async def last_sequence(session: AsyncSession, query_id: str) -> int:
    """Return the sequence of a query's newest event, 0 before the first."""
    last = await session.scalar(
        select(func.max(QueryEventRow.sequence)).where(col(QueryEventRow.query_id) == query_id)
    )
    return last or 0


async def events_after(
    session: AsyncSession, query_id: str, sequence: int, limit: int = 200
) -> list[QueryEventRow]:
    """Return the events behind a sequence, in order."""
    found = await session.scalars(
        select(QueryEventRow)
        .where(col(QueryEventRow.query_id) == query_id, col(QueryEventRow.sequence) > sequence)
        .order_by(col(QueryEventRow.sequence))
        .limit(limit)
    )
    return list(found)


async def shares_of(session: AsyncSession, query_id: str, generation: int) -> list[StoredShare]:
    """Return the stored shares and constants of a generation, by rank, the oldest first."""
    found = await session.scalars(
        select(StoredShare)
        .where(col(StoredShare.query_id) == query_id, col(StoredShare.generation) == generation)
        .order_by(col(StoredShare.rank), col(StoredShare.stored_at), col(StoredShare.node))
    )
    return list(found)


async def first_failure(session: AsyncSession, query_id: str, generation: int) -> FailureNote | None:
    """Return the failure of a generation that counts: the first own word, or else the first hearsay."""
    found = await session.scalars(
        select(FailureNote)
        .where(col(FailureNote.query_id) == query_id, col(FailureNote.generation) == generation)
        .order_by(col(FailureNote.heard), col(FailureNote.reported_at), col(FailureNote.node))
        .limit(1)
    )
    return found.first()


async def complaints_of(session: AsyncSession, query_id: str, generation: int) -> list[LossComplaint]:
    """Return the signed complaints of a generation, the oldest first."""
    found = await session.scalars(
        select(LossComplaint)
        .where(col(LossComplaint.query_id) == query_id, col(LossComplaint.generation) == generation)
        .order_by(col(LossComplaint.reported_at), col(LossComplaint.reporter))
    )
    return list(found)


async def replacements_of(session: AsyncSession, query_id: str) -> list[Replacement]:
    """Return every loss that was recorded of a query, by the generation that it leads to."""
    found = await session.scalars(
        select(Replacement).where(col(Replacement.query_id) == query_id).order_by(col(Replacement.generation))
    )
    return list(found)


async def wake(session: AsyncSession, query: Query) -> None:
    """Make a query due for the reconciler now."""
    query.due_at = await now(session)
    await session.flush()


async def note_cleaned(session: AsyncSession, query: Query) -> None:
    """Say that a query is cleaned up once the chain and every participant have said so; of a restored one nobody
    knows any more which participants did."""
    left = [
        one
        for one in await participants_of(session, query.id)
        if one.cleaned_at is None and one.lost_generation is None and not query.is_restored
    ]
    cleaned = query.cleanup_tx is not None and not left
    if cleaned and not query.cleaned_up:
        await add_event(session, query.id, "cleaned-up")
    query.cleaned_up = cleaned
    await session.flush()


async def share_hashes(session: AsyncSession) -> set[str]:
    """Return the hashes of all blobs that rows name."""
    return set(await session.scalars(select(col(StoredShare.share_hash))))


async def counts_by_status(session: AsyncSession) -> dict[str, int]:
    """Return how many queries there are in each status."""
    rows = await session.execute(select(col(Query.status), func.count()).group_by(col(Query.status)))
    return dict(rows.all())
