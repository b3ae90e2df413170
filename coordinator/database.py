"""The one way to the database: an engine, transactions, and the database's own clock.

SQLite (WAL) serves one process, PostgreSQL many. Nobody holds a transaction over a network or chain call.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Float, event, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from coordinator.database_errors import BadDatabaseUrl, away, raise_away
from coordinator.sqlite_connection import ReleasingConnection

_FAILOVER_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.05, 0.5

LEASE_SECONDS = 8
"""A process that holds locks in PostgreSQL and does nothing for so long loses its transaction, so that others go on."""

_POSTGRESQL = {
    "application_name": "soter-coordinator",
    "options": f"-c idle_in_transaction_session_timeout={LEASE_SECONDS}s -c lock_timeout=10s -c timezone=UTC",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

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
    """Sessions over one database. `async with Database(url) as database`, or `close()` at the end.

    Writers on PostgreSQL run beside each other (READ COMMITTED): whoever changes what others change too locks the
    row first (`FOR UPDATE`), or a name where there is no row (`exclusive`).
    """

    def __init__(self, url: str) -> None:
        """Open `sqlite+aiosqlite:///FILE` or `postgresql+psycopg://…`; nothing is connected yet.

        BadDatabaseUrl when it is neither.
        """
        self.is_sqlite = check_url(url) == "sqlite"
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=8,
            max_overflow=8,
            pool_pre_ping=not self.is_sqlite,
            connect_args={"factory": ReleasingConnection} if self.is_sqlite else _POSTGRESQL,
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._writer = asyncio.Lock()
        self._writing: set[asyncio.Task[Any] | None] = set()
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
        RuntimeError instead of a deadlock. DatabaseAway when the connection is lost or the database chose this
        transaction to give way; it says whether it may be run again.
        """
        task = asyncio.current_task()
        if task in self._writing:
            raise RuntimeError("a transaction was opened inside another one; hand its session down instead")
        self._writing.add(task)
        try:
            if self.is_sqlite:
                async with self._writer, self._one_transaction() as session:
                    yield session
            else:
                async with self._one_transaction() as session:
                    yield session
        finally:
            self._writing.discard(task)

    @asynccontextmanager
    async def _one_transaction(self) -> AsyncIterator[AsyncSession]:
        committing = False
        async with self._sessions() as session:
            try:
                await self._connect(session, {})
                yield session
                await session.flush()
                committing = True
                await session.commit()
            except DBAPIError as error:
                raise_away(error, rolled_back=not committing)
                raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Yield a session that only reads, one snapshot for all its statements; never waits for writers.

        Rows that were read keep their values afterwards. DatabaseAway as `transaction`.
        """
        async with self._sessions() as session:
            try:
                await self._connect(session, _READING[self.is_sqlite])
                yield session
                session.expunge_all()
                await session.rollback()
            except DBAPIError as error:
                raise_away(error, rolled_back=True)
                raise

    async def _connect(self, session: AsyncSession, options: dict[str, Any]) -> None:
        """Take a connection and begin; while the database is away this waits some seconds: nothing was done yet."""
        give_up = asyncio.get_running_loop().time() + _FAILOVER_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await session.connection(execution_options=options)
            except DBAPIError as error:
                problem = away(error, rolled_back=True)
                if problem is None or asyncio.get_running_loop().time() + pause > give_up:
                    raise
                await session.rollback()
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE_SECONDS)

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


async def exclusive(session: AsyncSession, name: str) -> None:
    """Be the only transaction that holds this name until it ends (SQLite: writers are alone anyway)."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
        )


async def take_time(session: AsyncSession) -> None:
    """Let this transaction be idle for as long as it likes: for work that nobody else could take up."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def check_url(url: str) -> str:
    """Return "sqlite" or "postgresql"; BadDatabaseUrl, which does not show the password, for anything else."""
    try:
        parts = make_url(url)
    except ArgumentError:
        raise BadDatabaseUrl("it is no URL") from None
    if parts.drivername not in ("sqlite+aiosqlite", "postgresql+psycopg"):
        raise BadDatabaseUrl(f"it begins with {parts.drivername}")
    if not parts.database:
        raise BadDatabaseUrl("it names no database")
    return parts.get_backend_name()


_READING: dict[bool, dict[str, Any]] = {
    True: {"reading": True},
    False: {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


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
