"""Write the next migration: `python -m scripts.new_migration 0002 "add a column"` compares the tables with the last."""

import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import Connection

from coordinator.database import Database
from coordinator.migrations import configuration, migrate


async def write(revision: str, message: str) -> None:
    """Migrate an empty database to the present head and write what the models have beyond it."""

    def revise(connection: Connection) -> None:
        config = configuration()
        config.attributes["connection"] = connection
        command.revision(config, message, autogenerate=True, rev_id=revision)

    with tempfile.TemporaryDirectory() as folder:
        async with Database(f"sqlite+aiosqlite:///{Path(folder) / 'empty.sqlite'}") as database:
            await migrate_if_any(database)
            async with database.engine.begin() as connection:
                await connection.run_sync(revise)


async def migrate_if_any(database: Database) -> None:
    """Apply the migrations that exist; the first one is written against an empty database."""
    versions = Path(configuration().get_main_option("script_location") or "") / "versions"
    if list(versions.glob("[0-9]*.py")):
        await migrate(database)


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], sys.argv[2]))
