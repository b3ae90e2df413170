"""A proposal that ends while its nodes are asked: the customer that waits for it hears so, and it stays ended."""

import asyncio
from types import SimpleNamespace

import pytest

from coordinator.database import Database
from coordinator.models.queries import OfferState, Query
from coordinator.queries import offers, repository
from coordinator.queries.errors import OfferRefused
from coordinator.queries.lapses import lapse
from coordinator.queries.limits import QueryLimits
from coordinator.queries.proposals import _accepted, _ask
from coordinator.wakeups import Topic, Wakeups
from soterone.domain.ids import Account, QueryId
from soterone.domain.lifecycle import Stage

QUERY = QueryId("0x" + "1" * 64)
NODES = [Account("0x" + digit * 40) for digit in "23"]


def query() -> Query:
    return Query(
        id=QUERY,
        customer="0x" + "4" * 40,
        name="readmission",
        status=Stage.PROPOSED,
        spec_json="{}",
        spec_hash=QUERY,
        result_key="0x",
        result_key_hash=QUERY,
        salt=QUERY,
        max_run_seconds=60,
        result_retry_seconds=60,
        cleanup_grace_seconds=60,
        max_replacements=0,
        order_deadline=2**40,
        created_at=0.0,
        expires_at=2.0**40,
    )


async def cancel(database: Database) -> None:
    async with database.transaction() as session:
        found = await repository.get(session, QUERY)
        assert found is not None
        await lapse(session, found, Stage.CANCELLED, "The customer cancelled the proposal.")


@pytest.mark.parametrize("answered", [OfferState.ASKED, OfferState.ACCEPTED])
async def test_a_proposal_cancelled_while_its_nodes_are_asked_stays_cancelled(
    database: Database, answered: OfferState
) -> None:
    context = SimpleNamespace(database=database, wakeups=Wakeups(), limits=QueryLimits(offer_seconds=60.0))
    async with database.transaction() as session:
        session.add(query())
        await offers.ask(session, QUERY, NODES, 70.0)
        for offer in await offers.states(session, QUERY):
            offer.state = answered
    await cancel(database)
    context.wakeups.notify(Topic.ANSWERS)
    async with asyncio.timeout(5.0):
        assert await _ask(context, QUERY) is None
    with pytest.raises(OfferRefused, match="taken back"):
        await _accepted(context, QUERY)
    async with database.reading() as session:
        found = await repository.get(session, QUERY)
        assert found is not None
        assert found.status == Stage.CANCELLED
