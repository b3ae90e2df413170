"""Takes an account out of the whole database: whoever left is a pseudonym wherever history must stay.

It walks every table there is, so that a new one cannot be forgotten.
"""

import secrets
from collections.abc import Iterable

from sqlalchemy import Column, LargeBinary, String, Table, func, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from soterone.crypto.accounts import account as checksummed
from soterone.domain.ids import Account

_MARKER = "0" * 24


def pseudonym() -> Account:
    """Return an account that nobody has: 24 zeros and 64 random bits."""
    return checksummed(f"0x{_MARKER}{secrets.token_hex(8)}")


async def scrub(session: AsyncSession, account: Account, secrets_of_it: Iterable[str] = ()) -> Account:
    """Replace an account by one new pseudonym, and the other texts by nothing, in every column of every table.

    Delete the entity's own rows first. Returns the pseudonym. Afterwards `Database.purge` takes the old pages out
    of the file.
    """
    stand_in = pseudonym()
    changes = {account[2:]: stand_in[2:], account[2:].lower(): stand_in[2:].lower()}
    changes |= {secret: "" for secret in secrets_of_it if secret}
    if session.get_bind().dialect.name == "sqlite":
        await session.execute(text("PRAGMA defer_foreign_keys=ON"))
    for table in SQLModel.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, String):
                await _replace_text(session, table, column, changes)
            elif isinstance(column.type, LargeBinary):
                await _replace_bytes(session, table, column, account, stand_in)
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
    session: AsyncSession, table: Table, column: Column[bytes], account: Account, stand_in: Account
) -> None:
    old, new = bytes.fromhex(account[2:]), bytes.fromhex(stand_in[2:])
    keys = list(table.primary_key.columns)
    sqlite = session.get_bind().dialect.name == "sqlite"
    position = func.instr(column, old) if sqlite else func.position(literal(old).op("IN")(column))
    rows = await session.execute(select(*keys, column).where(position > 0))
    for *key, value in rows.all():
        here = [part == found for part, found in zip(keys, key, strict=True)]
        await session.execute(update(table).where(*here).values({column: value.replace(old, new)}))
