"""Takes an account out of the whole database: whoever left is a pseudonym wherever history must stay.

It walks every table there is, so that a new one cannot be forgotten.
"""

import secrets
from collections.abc import Iterable

from sqlalchemy import (
    Column,
    ColumnElement,
    LargeBinary,
    String,
    Table,
    and_,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import AutoString, SQLModel, col

from coordinator.database import database_now
from coordinator.models.chain import ChainLog, OutboxEntry, TrailBlock
from coordinator.models.queries import Participant, Query
from soterone.chain.events import NodeUnregistered
from soterone.chain.outbox import RowState
from soterone.crypto.accounts import account as checksummed
from soterone.domain.ids import Account, Hash32

_MARKER = "0" * 24
_ZEROS = "0" * 64
_DAY_SECONDS = 86_400


def pseudonym() -> Account:
    """Return an account that nobody has: 24 zeros and 64 random bits."""
    return checksummed(f"0x{_MARKER}{secrets.token_hex(8)}")


async def scrub(session: AsyncSession, account: Account, hashes: Iterable[Hash32] = ()) -> Account:
    """Replace an account by one new pseudonym, and its hashes by zeros, in every column of every table.

    Delete the entity's own rows first. Returns the pseudonym. Afterwards `Database.purge` takes the old pages out
    of the file.
    """
    stand_in = pseudonym()
    texts = {account[2:]: stand_in[2:], account[2:].lower(): stand_in[2:].lower()}
    texts |= {known[2:]: _ZEROS for known in hashes}
    raw = {bytes.fromhex(old): bytes.fromhex(new) for old, new in texts.items()}
    if session.get_bind().dialect.name == "sqlite":
        await session.execute(text("PRAGMA defer_foreign_keys=ON"))
    for table in SQLModel.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, String | AutoString):
                await _replace_text(session, table, column, texts)
            elif isinstance(column.type, LargeBinary):
                await _replace_bytes(session, table, column, raw)
    session.expire_all()
    return stand_in


async def _replace_text(
    session: AsyncSession, table: Table, column: Column[str], changes: dict[str, str]
) -> None:
    for old, new in changes.items():
        await session.execute(
            update(table)
            .where(column.contains(old, autoescape=True))
            .values({column: func.replace(column, old, new)})
        )


async def _replace_bytes(
    session: AsyncSession, table: Table, column: Column[bytes], changes: dict[bytes, bytes]
) -> None:
    keys = list(table.primary_key.columns)
    for old, new in changes.items():
        rows = await session.execute(select(*keys, column).where(_contains(session, column, old)))
        for *key, value in rows.all():
            here = [part == found for part, found in zip(keys, key, strict=True)]
            await session.execute(update(table).where(*here).values({column: value.replace(old, new)}))


async def is_free(session: AsyncSession, account: Account, final_depth_blocks: int) -> bool:
    """Return whether nothing that is still to be written on chain names the account, so that it may be scrubbed.

    Transactions on their way name it, those that are mined and not final might have to be sent again, and so will the
    settlement of a query that ended less than a day ago.
    """
    data: Column[bytes] = SQLModel.metadata.tables["outbox"].c.data
    head = select(func.coalesce(func.max(TrailBlock.number), 0)).scalar_subquery()
    recent = col(OutboxEntry.block_number) > head - final_depth_blocks
    on_the_way = select(col(OutboxEntry.id)).where(
        or_(
            col(OutboxEntry.state).in_((RowState.DUE, RowState.SENT)),
            and_(col(OutboxEntry.state) == RowState.MINED, recent),
        ),
        _contains(session, data, bytes.fromhex(account[2:])),
    )
    left_just_now = select(col(ChainLog.block_number)).where(
        col(ChainLog.node) == account,
        col(ChainLog.name) == NodeUnregistered.__name__,
        col(ChainLog.block_number) > head - final_depth_blocks,
    )
    names = select(col(Participant.query_id)).where(col(Participant.account) == account)
    unsettled = select(col(Query.id)).where(
        or_(col(Query.customer) == account, col(Query.id).in_(names)),
        col(Query.dispatched_at).is_not(None),
        col(Query.settled_at).is_(None),
        or_(col(Query.ended_at).is_(None), col(Query.ended_at) > database_now() - _DAY_SECONDS),
    )
    reasons = (on_the_way.exists(), left_just_now.exists(), unsettled.exists())
    found = await session.scalar(select(or_(*reasons)))
    return not found


def _contains(session: AsyncSession, column: Column[bytes], part: bytes) -> ColumnElement[bool]:
    if session.get_bind().dialect.name == "sqlite":
        return func.instr(column, part) > 0
    return func.position(literal(part).op("IN")(column)) > 0
