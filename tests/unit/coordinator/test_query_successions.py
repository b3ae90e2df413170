"""Who takes part after replacements, whichever way the chain's events change."""

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.database import Database
from coordinator.models.queries import Participant, Query, Replacement
from coordinator.queries import repository
from coordinator.queries.orders import opening_of, order_of
from coordinator.queries.successions import Replaced, follow_replacements
from soterone.domain.lifecycle import Stage
from soterone.domain.roles import Role

QUERY, HASH = "0x" + "1" * 64, "0x" + "2" * 64
OWNER, A, B, C, D, E, F = ("0x" + digit * 40 for digit in "1234567")


def row() -> Query:
    return Query(
        id=QUERY, customer="0x" + "9" * 40, name="q", status=Stage.DELIVERING, spec_json="{}", spec_hash=HASH,
        result_key="0x", result_key_hash=HASH, salt=HASH, max_run_seconds=1, result_retry_seconds=1,
        cleanup_grace_seconds=1, max_replacements=2, order_deadline=1, created_at=1.0, expires_at=1.0,
        dispatched_at=1.0, training_ended_at=5.0,
    )  # fmt: skip


async def set_up(session: AsyncSession) -> Query:
    query = row()
    session.add(query)
    await session.flush()
    session.add(Participant(query_id=QUERY, account=OWNER, role=Role.DATA_OWNER, rank=0, operator=OWNER))
    for rank, node in enumerate((A, B, C)):
        session.add(Participant(query_id=QUERY, account=node, role=Role.MPC_NODE, rank=rank, operator=node))
    await session.flush()
    return query


async def roster(session: AsyncSession, query: Query) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the trio and the lost ones that the chain's commitment opens to."""
    there = opening_of(query, await repository.participants_of(session, QUERY)).roster
    return there.mpcs, there.lost


async def test_successors_take_the_ranks_and_results_of_before_are_void(database: Database) -> None:
    async with database.transaction() as session:
        query = await set_up(session)
        await follow_replacements(session, query, [Replaced(1, B, E)])
        assert await roster(session, query) == ((A, E, C), (B,))
        assert (query.generation, query.status, query.training_ended_at) == (1, Stage.RECOVERING, None)
        await follow_replacements(session, query, [Replaced(1, B, E), Replaced(2, A, D)])
        assert await roster(session, query) == ((D, E, C), (B, A))
        order = order_of(query, await repository.participants_of(session, QUERY))
        assert order.mpcs == (A, B, C)


async def test_a_generation_never_goes_back_and_the_opening_follows_the_chain(database: Database) -> None:
    async with database.transaction() as session:
        query = await set_up(session)
        steps = [Replaced(1, B, E), Replaced(2, A, D)]
        await follow_replacements(session, query, steps)
        query.status = Stage.RUNNING
        await follow_replacements(session, query, steps[:1])
        assert (query.generation, query.chain_generation, query.status) == (2, 1, Stage.RUNNING)
        assert await roster(session, query) == ((A, E, C), (B,))
        await follow_replacements(session, query, [])
        assert await roster(session, query) == ((A, B, C), ())
        await follow_replacements(session, query, steps)
        assert (query.chain_generation, query.status) == (2, Stage.RUNNING)
        assert await roster(session, query) == ((D, E, C), (B, A))


async def test_where_the_chain_names_another_successor_the_chain_is_right(database: Database) -> None:
    async with database.transaction() as session:
        query = await set_up(session)
        session.add(
            Replacement(
                query_id=QUERY, generation=1, lost=B, blamed=True, reporter=OWNER, deadline=1, signature="0x",
                seed_block=1, recorded_at=1.0, successor=E,
            )
        )  # fmt: skip
        await follow_replacements(session, query, [Replaced(1, B, E)])
        await follow_replacements(session, query, [Replaced(1, C, F)])
        assert await roster(session, query) == ((A, B, F), (C,))
        here = [one.account for one in await repository.participants_of(session, QUERY)]
        assert E not in here
        (recorded,) = await repository.replacements_of(session, QUERY)
        assert recorded.successor == F
