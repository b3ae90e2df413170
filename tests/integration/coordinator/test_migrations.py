"""The migrations make exactly the tables that the program has, and the version before goes on working on them."""

import asyncio

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, select
from sqlmodel import SQLModel

from coordinator import migrations
from coordinator.database import Database, take_time


async def test_migrations_and_models_are_the_same(empty_database_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, SQLModel.metadata))

    async with Database(empty_database_url) as database:
        with pytest.raises(migrations.NotMigrated):
            await migrations.check(database)
        before, after = await migrations.migrate(database)
        assert before is None
        assert await migrations.migrate(database) == (after, after)
        await migrations.check(database)
        async with database.engine.connect() as connection:
            assert await connection.run_sync(differences) == []


def upgrade_to(connection: Connection, revision: str) -> None:
    config = migrations.configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def revisions() -> list[str]:
    """Return all revisions, the oldest first."""
    script = ScriptDirectory.from_config(migrations.configuration())
    return [one.revision for one in reversed(list(script.walk_revisions()))]


@pytest.mark.parametrize(("before", "after"), list(zip(revisions(), revisions()[1:], strict=False)))
async def test_the_version_before_still_writes_and_reads(
    empty_database_url: str, before: str, after: str
) -> None:
    """Its tables and columns are there with their types, and what it does not know of needs no value."""

    def tables(connection: Connection) -> MetaData:
        known = MetaData()
        known.reflect(connection)
        return known

    async with Database(empty_database_url) as database, database.transaction() as session:
        await take_time(session)
        connection = await session.connection()
        await connection.run_sync(upgrade_to, before)
        old = await connection.run_sync(tables)
        await connection.run_sync(upgrade_to, after)
        new = await connection.run_sync(tables)
        for name, table in old.tables.items():
            assert unusable(table, new.tables[name]) == []
            await connection.execute(select(table))


def unusable(old: Table, new: Table) -> list[str]:
    """Return the columns of a table that the version before could not work with."""
    gone = [one.name for one in old.columns if one.name not in new.columns]
    changed = [
        one.name
        for one in old.columns
        if one.name not in gone and str(new.columns[one.name].type) != str(one.type)
    ]
    demanded = [
        one.name
        for one in new.columns
        if one.name not in old.columns and not one.nullable and one.server_default is None
    ]
    return [*gone, *changed, *demanded]


async def test_two_migrations_at_once_follow_each_other(empty_database_url: str) -> None:
    async with Database(empty_database_url) as one, Database(empty_database_url) as other:
        await asyncio.gather(migrations.migrate(one), migrations.migrate(other))
        await migrations.check(one)
