"""Sealed results: taken from the nodes that computed them, given to the customer that ordered them."""

from eth_utils.crypto import keccak
from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.context import Context
from coordinator.models.queries import CONSTANTS_RANK, Participant, Query, StoredShare
from coordinator.queries import repository
from coordinator.queries.errors import AlreadyEnded, BadShare, NotParticipant, NotYet, ShareTooLarge
from coordinator.queries.reports import check_generation, check_signature, part_of
from coordinator.queries.schemas import ShareHeader
from coordinator.wakeups import Topic
from soterone.crypto.messages import ResultShare
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.lifecycle import Stage
from soterone.domain.roles import Role

_TAKING = (Stage.DISPATCHED, Stage.RUNNING, Stage.RECOVERING, Stage.DELIVERING)


async def check_header(context: Context, node: Account, header: ShareHeader) -> None:
    """Refuse a delivery by its header alone, before its bytes are read: participation, rank, generation, size."""
    if header.size_bytes > context.limits.share_bytes:
        raise ShareTooLarge(
            f"a share has at most {context.limits.share_bytes} bytes, not {header.size_bytes}"
        )
    async with context.database.reading() as session:
        query, participant = await part_of(session, header.query_id, node)
    _check_place(query, participant, header)
    message = ResultShare(
        hash_bytes(header.query_id), header.generation, header.rank, hash_bytes(header.share_hash)
    )
    check_signature(context.domain("QueryLedger"), message, header.signature, node)


async def store_result(context: Context, node: Account, header: ShareHeader, data: bytes) -> bool:
    """Keep a sealed share or sealed constants durably; True when it is kept, also when it was before.

    False: the query completed without it, so nobody will ask for it. Errors as `check_header`, besides BadShare
    when the bytes are not the signed ones, AlreadyEnded when the query failed, StoreFull.
    """
    await check_header(context, node, header)
    if len(data) != header.size_bytes or keccak(data) != hash_bytes(header.share_hash):
        raise BadShare("the bytes are not those of the signed hash and size; deliver the share again")
    await context.results.put(data)
    async with context.database.transaction() as session:
        query, participant = await part_of(session, header.query_id, node, lock=True)
        _check_place(query, participant, header)
        kept = await _keep(session, query, participant, header)
    context.wakeups.notify(Topic.QUERIES)
    return kept


def _check_place(query: Query, participant: Participant, header: ShareHeader) -> None:
    check_generation(query, header.generation)
    rank = participant.rank if participant.role == Role.MPC_NODE else CONSTANTS_RANK
    if participant.lost_generation is not None or rank != header.rank:
        raise NotParticipant(f"node {participant.account} does not deliver rank {header.rank} of this query")
    if query.dispatched_at is None:
        raise NotYet(f"query {query.id} is not dispatched")
    if query.status in (Stage.FAILED, Stage.CANCELLED):
        raise AlreadyEnded(f"query {query.id} has {query.status}; clean up, its result is not taken any more")


async def _keep(session: AsyncSession, query: Query, participant: Participant, header: ShareHeader) -> bool:
    stored = await session.get(StoredShare, (query.id, header.generation, participant.account))
    if stored is not None:
        return _same(stored, header)
    counted_without = query.announced_hash is not None and header.rank != CONSTANTS_RANK
    if query.status not in _TAKING or counted_without:
        return False
    session.add(
        StoredShare(
            query_id=query.id,
            generation=header.generation,
            node=participant.account,
            rank=header.rank,
            share_hash=header.share_hash,
            signature=f"0x{header.signature.hex()}",
            size_bytes=header.size_bytes,
            stored_at=await repository.now(session),
        )
    )
    data = {"node": participant.account, "rank": header.rank, "share_hash": header.share_hash}
    await repository.add_event(session, query.id, "share-stored", data)
    await repository.wake(session, query)
    return True


def _same(stored: StoredShare, header: ShareHeader) -> bool:
    if stored.share_hash != header.share_hash:
        raise BadShare("another share of this node is kept already; a node delivers one share a generation")
    return True
