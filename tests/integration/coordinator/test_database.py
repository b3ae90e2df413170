"""What the coordinator relies on of its database: one writer at a time, snapshots, its clock, and forgetting."""

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import Database, exclusive
from coordinator.database_errors import DatabaseAway
from coordinator.models.accounts import UsedNonce
from coordinator.notifications import Notifications
from coordinator.wakeups import Topic, Wakeups


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


def pid_of(session: AsyncSession) -> Awaitable[int | None]:
    return session.scalar(text("SELECT pg_backend_pid()"))


async def end_connection(database: Database, pid: int | None) -> None:
    async with database.transaction() as session:
        await session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})


async def test_a_connection_that_is_lost_before_the_commit_did_nothing(on_postgresql: Database) -> None:
    async def lose() -> None:
        async with on_postgresql.transaction() as session:
            session.add(UsedNonce(nonce_hash="x", expires_at=1.0))
            await session.flush()
            async with Database(on_postgresql.engine.url.render_as_string(hide_password=False)) as other:
                await end_connection(other, await pid_of(session))
            await session.execute(text("SELECT 1"))

    with pytest.raises(DatabaseAway) as lost:
        await lose()
    assert lost.value.rolled_back
    assert await names(on_postgresql) == set()


async def test_a_connection_that_is_lost_at_the_commit_leaves_it_open(on_postgresql: Database) -> None:
    async def lose() -> None:
        async with on_postgresql.transaction() as session:
            session.add(UsedNonce(nonce_hash="x", expires_at=1.0))
            await session.flush()
            async with Database(on_postgresql.engine.url.render_as_string(hide_password=False)) as other:
                await end_connection(other, await pid_of(session))

    with pytest.raises(DatabaseAway) as lost:
        await lose()
    assert not lost.value.rolled_back


async def test_a_pooled_connection_that_died_is_not_handed_out(on_postgresql: Database) -> None:
    async with on_postgresql.reading() as session:
        pid = await pid_of(session)
    async with Database(on_postgresql.engine.url.render_as_string(hide_password=False)) as other:
        await end_connection(other, pid)
    await add(on_postgresql, "after")
    assert await names(on_postgresql) == {"after"}


async def test_of_two_that_wait_for_each_other_one_gives_way(on_postgresql: Database) -> None:
    for name in ("a", "b"):
        await add(on_postgresql, name)
    met = asyncio.Barrier(2)

    async def change(first: str, second: str) -> None:
        async with on_postgresql.transaction() as session:
            for name in (first, second):
                await session.get(UsedNonce, name, with_for_update=True)
                if name == first:
                    await met.wait()

    done = await asyncio.gather(change("a", "b"), change("b", "a"), return_exceptions=True)
    assert sum(isinstance(one, DatabaseAway) and one.rolled_back for one in done) == 1
    assert sum(one is None for one in done) == 1


async def test_who_is_idle_inside_a_transaction_loses_its_locks(on_postgresql: Database) -> None:
    await add(on_postgresql, "claimed")
    claimed = asyncio.Event()

    async def freeze() -> None:
        async with on_postgresql.transaction() as session:
            await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '200ms'"))
            await session.get(UsedNonce, "claimed", with_for_update=True)
            claimed.set()
            await asyncio.sleep(2)
            await session.execute(text("SELECT 1"))

    async def take_up() -> bool:
        await claimed.wait()
        async with on_postgresql.transaction() as session:
            return await session.get(UsedNonce, "claimed", with_for_update=True) is not None

    frozen, taken = await asyncio.gather(freeze(), take_up(), return_exceptions=True)
    assert isinstance(frozen, DatabaseAway)
    assert taken is True


async def test_a_name_is_held_by_one_transaction_at_a_time(on_postgresql: Database) -> None:
    inside: list[int] = []

    async def hold() -> None:
        async with on_postgresql.transaction() as session:
            await exclusive(session, "name")
            inside.append(1)
            assert len(inside) == 1
            await asyncio.sleep(0.02)
            inside.clear()

    await asyncio.gather(*(hold() for _ in range(5)))


async def test_wakeups_reach_the_other_processes(on_postgresql: Database) -> None:
    url, stop = on_postgresql.engine.url.render_as_string(hide_password=False), asyncio.Event()
    here, there = Wakeups(), Wakeups()
    carriers = [asyncio.create_task(Notifications(url, one).run(stop)) for one in (here, there)]
    with there.listen(Topic.OUTBOX) as bell, there.listen(Topic.NODES) as other:
        assert await bell.wait(30), "a new connection rings once, as something may have been missed"
        assert await other.wait(30)
        for _ in range(600):
            here.notify(Topic.OUTBOX)
            if await bell.wait(0.1):
                break
        else:
            raise AssertionError("nothing was carried")
        assert not await other.wait(0.1)
    stop.set()
    await asyncio.gather(*carriers)
