"""What the coordinator relies on of its database: one writer at a time, snapshots, its clock, and forgetting."""

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlmodel import col

from coordinator.database import Database
from coordinator.models.accounts import UsedNonce


async def add(database: Database, name: str) -> None:
    async with database.transaction() as session:
        session.add(UsedNonce(nonce_hash=name, expires_at=1.0))


async def names(database: Database) -> set[str]:
    async with database.reading() as session:
        return set(await session.scalars(select(col(UsedNonce.nonce_hash))))


async def test_many_writers_wait_for_each_other(database: Database) -> None:
    await asyncio.gather(*(add(database, str(number)) for number in range(100)))
    assert len(await names(database)) == 100


async def test_an_exception_takes_everything_back(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            session.add(UsedNonce(nonce_hash="x", expires_at=1.0))
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await names(database) == set()


async def test_a_transaction_inside_another_is_an_error_and_no_deadlock(database: Database) -> None:
    async with database.transaction():
        with pytest.raises(RuntimeError, match="inside another"):
            await add(database, "inner")
    await add(database, "after")


async def test_readers_see_one_snapshot_beside_a_writer(database: Database) -> None:
    async with database.reading() as session:
        assert (await session.scalars(select(UsedNonce))).all() == []
        await add(database, "meanwhile")
        assert (await session.scalars(select(UsedNonce))).all() == []
    assert await names(database) == {"meanwhile"}


async def test_the_clock_is_unix_time(database: Database) -> None:
    assert await database.now() == pytest.approx(time.time(), abs=0.5)


async def test_what_is_deleted_is_not_in_the_files_after_a_purge(database: Database, tmp_path: Path) -> None:
    await add(database, "needle-in-the-file")
    async with database.transaction() as session:
        await session.delete(await session.get_one(UsedNonce, "needle-in-the-file"))
    assert await database.purge()
    assert not needle_left(tmp_path)


def needle_left(folder: Path) -> bool:
    return any(b"needle" in path.read_bytes() for path in folder.glob("coordinator.sqlite*"))
