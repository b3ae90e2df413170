"""The migrations make exactly the tables that the program has."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlmodel import SQLModel

from coordinator import migrations
from coordinator.database import Database


async def test_migrations_and_models_are_the_same(tmp_path: Path) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, SQLModel.metadata))

    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'new.sqlite'}") as database:
        with pytest.raises(migrations.NotMigrated):
            await migrations.check(database)
        before, after = await migrations.migrate(database)
        assert before is None
        assert await migrations.migrate(database) == (after, after)
        await migrations.check(database)
        async with database.engine.connect() as connection:
            assert await connection.run_sync(differences) == []
