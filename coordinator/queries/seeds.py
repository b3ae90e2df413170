"""What the chain says that a replacement depends on, read before the transaction that acts on it."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.chain import outbox
from coordinator.context import Context
from coordinator.models.queries import Query, Replacement
from coordinator.nodes import repository as nodes
from coordinator.queries import repository
from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError
from soterone.chain.outbox import RowState
from soterone.chain.records import Block, NodeStatus
from soterone.domain.candidates import Candidate
from soterone.domain.ids import Account
from soterone.domain.lifecycle import Announcement
from soterone.domain.reputation import Record
from soterone.domain.roles import Role, pack_version
from soterone.domain.spec import QuerySpec

_log = structlog.get_logger()
_MOST_READ = 64
_SEED_BLOCKS = 96
"""A seed block that is older is replaced by a new one: many nodes keep the state of 128 blocks, and agents need it."""


@dataclass(frozen=True, slots=True)
class Seed:
    """The hash of a loss's seed block, and the nodes as they stood on chain after that block."""

    block: Block
    candidates: Mapping[Account, Candidate]


@dataclass(frozen=True, slots=True)
class Outlook:
    """The chain's head, and the seed of the open replacement once its block is confirmed, unless it is `stale`."""

    head: Block
    seed: Seed | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    row: Replacement | None
    nodes: tuple[Account, ...] = ()


async def outlook(context: Context, query_id: str) -> Outlook | None:
    """Return what a query with a lost node needs of the chain; None when it has none or the chain is away."""
    async with context.database.reading() as session:
        wanted = await _wanted(session, query_id)
    if wanted is None:
        return None
    try:
        return await _read(context, wanted)
    except ChainError as problem:
        _log.warning("replacement_waits_for_the_chain", query_id=query_id, problem=str(problem))
        return None


async def _wanted(session: AsyncSession, query_id: str) -> _Wanted | None:
    query = await repository.get(session, query_id)
    if query is None or query.dispatched_at is None or query.end_tx is not None:
        return None
    row = await session.get(Replacement, (query_id, query.generation + 1))
    if row is None:
        complained = await repository.complaints_of(session, query_id, query.generation)
        return _Wanted(None) if complained else None
    sent = await outbox.find(session, outbox.key(query_id, Announcement.REPLACE, query.generation))
    if sent is not None and sent.state != RowState.REVERTED:
        return None
    return _Wanted(row, await _possible(session, query))


async def _possible(session: AsyncSession, query: Query) -> tuple[Account, ...]:
    """Nobody can join a query whose spec is not known here."""
    if query.is_restored:
        return ()
    version = minimum_version_of(query)
    used = {one.account for one in await repository.participants_of(session, query.id)}
    online = await nodes.online(session, Role.MPC_NODE, version)
    return tuple(Account(one.account) for one in online if one.account not in used)[:_MOST_READ]


def minimum_version_of(query: Query) -> int:
    """Return the packed version that its customer asks of MPC nodes; 0 where the spec is not known."""
    if query.is_restored:
        return 0
    return pack_version(QuerySpec.model_validate_json(query.spec_json).mpc.minimum_version)


async def _read(context: Context, wanted: _Wanted) -> Outlook:
    head = await context.chain.head()
    row, depth = wanted.row, context.settings.confirmations - 1
    if row is None or head.number < row.seed_block + depth:
        return Outlook(head)
    if head.number > row.seed_block + _SEED_BLOCKS:
        return Outlook(head, stale=True)
    block = await context.chain.block(row.seed_block)
    if block is None:
        return Outlook(head)
    return Outlook(head, Seed(block, await _candidates(context.chain, wanted.nodes, block)))


async def _candidates(
    chain: ChainClient, accounts: Collection[Account], block: Block
) -> dict[Account, Candidate]:
    epoch = block.timestamp // await chain.epoch_seconds()
    found = await asyncio.gather(*(_candidate(chain, one, block.number, epoch) for one in accounts))
    return {one.account: one for one in found if one is not None}


async def _candidate(chain: ChainClient, account: Account, number: int, epoch: int) -> Candidate | None:
    node, record = await asyncio.gather(chain.node_of(account, number), chain.record_of(account, number))
    if node.status is not NodeStatus.ACTIVE or not node.roles & Role.MPC_NODE:
        return None
    return Candidate.of_record(account, node.operator, node.version, Record(*record), epoch)
