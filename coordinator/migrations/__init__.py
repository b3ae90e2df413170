"""The database's schema through time (Alembic). `migrate` brings any older database up to this program's."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from coordinator.database import Database, exclusive, take_time


class NotMigrated(Exception):
    """The database has another schema than this program; the text says what to do."""


class NotEmpty(Exception):
    """The database has rows where a command needs none; the text says what to do."""


def configuration() -> Config:
    """Return Alembic's configuration; `attributes["connection"]` must be set before a command runs."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


async def migrate(database: Database) -> tuple[str | None, str]:
    """Apply what is missing; returns the revision before and after. Doing it again changes nothing.

    The version before this one goes on working on the result: a migration only adds, with defaults by the server. What
    nobody needs any more is taken away one version later.
    """
    async with database.transaction() as session:
        await take_time(session)
        await exclusive(session, "migrations")
        return await (await session.connection()).run_sync(_upgrade)


async def check(database: Database) -> None:
    """NotMigrated unless the database has exactly this program's schema."""
    async with database.engine.begin() as connection:
        found = await connection.run_sync(_revision)
    head = _head(configuration())
    if found is None:
        raise NotMigrated("the database is empty; run soter-coordinator migrate first")
    if found != head:
        raise NotMigrated(
            f"the database has revision {found} and this program needs {head}; "
            "run soter-coordinator migrate with the newest version"
        )


def _upgrade(connection: Connection) -> tuple[str | None, str]:
    config = configuration()
    before = _revision(connection)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before, _head(config)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _head(config: Config) -> str:
    head = ScriptDirectory.from_config(config).get_current_head()
    if head is None:
        raise NotMigrated("this installation has no migrations; install it again")
    return head
