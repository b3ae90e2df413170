"""The one way to the database: an engine, transactions, and the database's own clock.

SQLite (WAL) serves one process, PostgreSQL many. Nobody holds a transaction over a network or chain call.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Float, event, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "busy_timeout=5000",
    "secure_delete=ON",
)


class database_now(GenericFunction[float]):  # noqa: N801 - reads as the SQL function that it is
    """The database's clock as Unix seconds: the only time that rows are written or compared with."""

    type = Float()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite_now(element: database_now, compiler: SQLCompiler, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql_now(element: database_now, compiler: SQLCompiler, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::float8"


class Database:
    """Sessions over one database. `async with Database(url) as database`, or `close()` at the end."""

    def __init__(self, url: str) -> None:
        """Open `sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://…`; nothing is connected yet."""
        self.engine: AsyncEngine = create_async_engine(url, pool_size=8, max_overflow=8)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._writer = asyncio.Lock()
        self._writing: asyncio.Task[Any] | None = None
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Return every connection; a later call opens new ones."""
        await self.engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Yield a session that is ONE writing transaction: committed at the end, rolled back on any exception.

        On SQLite writers of this process wait for each other here, in order. Never nest two in one task:
        RuntimeError instead of a deadlock.
        """
        if not self.is_sqlite:
            async with self._sessions.begin() as session:
                yield session
            return
        if self._writing is asyncio.current_task():
            raise RuntimeError("a transaction was opened inside another one; hand its session down instead")
        async with self._writer:
            self._writing = asyncio.current_task()
            try:
                async with self._sessions.begin() as session:
                    yield session
            finally:
                self._writing = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Yield a session that only reads, one snapshot for all its statements; never waits for writers.

        Rows that were read keep their values afterwards.
        """
        async with self._sessions() as session:
            await session.connection(execution_options={"reading": True})
            yield session
            session.expunge_all()
            await session.rollback()

    async def now(self) -> float:
        """Return the database's clock as Unix seconds."""
        async with self.reading() as session:
            return float((await session.scalar(database_now())) or 0.0)

    async def purge(self) -> bool:
        """Make SQLite forget what was deleted: write the log back into the file and cut it to nothing.

        Returns False when a reader held the log; ask again later then. PostgreSQL: its own vacuum does it.
        """
        if not self.is_sqlite:
            return True
        async with self._writer, self.engine.connect() as connection:
            connection = await connection.execution_options(no_begin=True)
            row = (await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).one()
            return int(row[0]) == 0


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("no_begin"):
        return
    connection.exec_driver_sql("BEGIN" if options.get("reading") else "BEGIN IMMEDIATE")
