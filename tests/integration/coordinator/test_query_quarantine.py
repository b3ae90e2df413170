"""A query that makes the reconciler raise: it ends or is set aside, and the others never wait for it."""

import json

import pytest
from fixtures.query_world import World, eventually
from sqlalchemy import update
from sqlmodel import col

from coordinator.models.queries import Participant, Query
from coordinator.queries import quarantine
from soterone.chain.records import QueryStatus
from soterone.domain.failures import FailureReason
from soterone.domain.ids import QueryId
from soterone.rest.queries import Proposal


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "_FIRST_PAUSE_SECONDS", 0.01)


async def poison(world: World, query_id: str, **values: object) -> None:
    """Spoil a query's row, as a bug of another version might have."""
    async with world.database.transaction() as session:
        await session.execute(update(Query).where(col(Query.id) == query_id).values(**values))


async def launched(world: World) -> Proposal:
    proposal = await world.propose()
    await world.launch(proposal)
    return proposal


async def test_a_query_that_breaks_the_reconciler_is_quarantined_and_the_others_go_on(world: World) -> None:
    sick, sound = await launched(world), await launched(world)
    spec = (await world.view(sick.query_id)).spec.model_dump_json()
    await poison(world, sick.query_id, spec_json=json.dumps({"no": "spec"}))
    assert (await world.run_to_the_end(sound)).status == "completed"
    state = await eventually(
        lambda: world.context.chain.status_of(QueryId(sick.query_id)),
        lambda state: state.status in (QueryStatus.FAILED, QueryStatus.FAILED_CLEANED),
    )
    assert state.generation == 0
    await eventually(
        lambda: world.context.chain.status_of(QueryId(sick.query_id)),
        lambda state: state.status is QueryStatus.FAILED_CLEANED,
    )
    await poison(world, sick.query_id, spec_json=spec)
    view = await world.view(sick.query_id)
    assert view.status == "failed"
    assert view.failure is not None
    assert view.failure.reason == FailureReason.QUARANTINED
    assert "quarantined" in view.failure.sentence


async def test_what_cannot_even_be_failed_is_set_aside(world: World) -> None:
    sick, sound = await launched(world), await launched(world)
    async with world.database.transaction() as session:
        await session.execute(
            update(Participant)
            .where(col(Participant.query_id) == sick.query_id, col(Participant.account) == sick.order.mpcs[0])
            .values(account="nobody's account")
        )
    await poison(world, sick.query_id, spec_json="{}")
    assert (await world.run_to_the_end(sound)).status == "completed"

    async def due_at() -> float | None:
        async with world.database.reading() as session:
            query = await session.get(Query, sick.query_id)
        return None if query is None else query.due_at

    await eventually(due_at, lambda due: due is None)
    assert b"soter_queries_set_aside_total 1.0" in world.context.metrics.render()
    state = await world.context.chain.status_of(QueryId(sick.query_id))
    assert state.status is QueryStatus.DISPATCHED
