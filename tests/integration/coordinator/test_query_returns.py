"""A coordinator that was away, and queries that nobody finished: what became of them is told as it is."""

import asyncio
from dataclasses import replace

import pytest
from fixtures.query_world import World, eventually

from coordinator.chain import outbox
from coordinator.chain.services import SenderService
from coordinator.database import Database
from coordinator.models.nodes import ListeningLease
from coordinator.models.queries import Query
from coordinator.wakeups import Topic
from soterone.chain.calls import CallBuilder
from soterone.chain.openings import Opening
from soterone.client.orders import to_order
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId
from soterone.rest.queries import Proposal, QueryView, TimerWishes

SHORT = TimerWishes(max_run_seconds=10, result_retry_seconds=1, cleanup_grace_seconds=1)


async def backdate(world: World, query_id: str, **changes: float) -> None:
    """Let a query have been dispatched, or looked at, so many seconds earlier."""
    async with world.database.transaction() as session:
        query = await session.get(Query, query_id)
        assert query is not None
        for name, seconds in changes.items():
            setattr(query, name, (getattr(query, name) or 0.0) - seconds)


async def launched(world: World, timers: TimerWishes) -> Proposal:
    proposal = await world.propose(timers)
    await world.launch(proposal)
    return proposal


async def let_chain_pass(world: World, seconds: int) -> None:
    await world.context.chain.rpc.call("evm_increaseTime", seconds)
    await world.mine()


async def test_what_nobody_finished_is_closed_as_abandoned(world: World) -> None:
    proposal = await launched(world, SHORT)
    await let_chain_pass(world, 20)
    await backdate(world, proposal.query_id, dispatched_at=73.0)
    failed = await world.until(proposal.query_id, lambda view: view.status == "failed")
    check_abandoned(failed)
    await world.clean(proposal)
    await world.until(proposal.query_id, lambda view: view.cleaned_up)


def check_abandoned(failed: QueryView) -> None:
    assert failed.failure is not None
    assert (failed.failure.reason, failed.failure.node) == (FailureReason.ABANDONED, None)
    assert "Nobody finished the query in time" in failed.failure.sentence


async def test_the_customer_is_told_that_somebody_else_closed_it(world: World) -> None:
    proposal = await launched(world, SHORT)
    await let_chain_pass(world, 20)
    opening = Opening.of_order(to_order(proposal.order))
    calls = CallBuilder(world.context.chain.contracts.addresses)
    async with world.database.transaction() as session:
        call = calls.expire(QueryId(proposal.query_id), opening)
        await outbox.enqueue(session, outbox.key(proposal.query_id, "by-anybody"), call)
    world.context.wakeups.notify(Topic.OUTBOX)
    check_abandoned(await world.until(proposal.query_id, lambda view: view.status == "failed"))


async def test_results_that_waited_for_the_coordinator_are_taken(world: World) -> None:
    """It comes back after the run's longest time: whoever could not deliver does so now."""
    proposal = await launched(world, TimerWishes(max_run_seconds=10))
    await world.until(proposal.query_id, lambda view: view.status == "dispatched")
    await backdate(world, proposal.query_id, dispatched_at=20.0, looked_at=20.0)
    view = await world.run_to_the_end(proposal)
    assert view.status == "completed"


async def test_patience_with_what_is_late_ends(world: World) -> None:
    proposal = await launched(world, TimerWishes(max_run_seconds=10))
    await backdate(world, proposal.query_id, dispatched_at=20.0, looked_at=20.0)

    async def patient_until() -> float | None:
        async with world.database.reading() as session:
            query = await session.get(Query, proposal.query_id)
        return None if query is None else query.patient_until

    await eventually(patient_until, lambda until: until is not None)
    assert (await world.view(proposal.query_id)).status == "dispatched"
    await backdate(world, proposal.query_id, patient_until=60.0)
    failed = await world.until(proposal.query_id, lambda view: view.status == "failed")
    assert failed.failure is not None
    assert failed.failure.reason == FailureReason.TIMED_OUT


async def test_a_deaf_coordinator_calls_nobody_late(world: World) -> None:
    proposal = await launched(world, TimerWishes(max_run_seconds=10))
    async with world.database.transaction() as session:
        session.add(ListeningLease(service="rpc", heard_at=1.0))
    await world.until(proposal.query_id, lambda view: view.status == "dispatched")
    await backdate(world, proposal.query_id, dispatched_at=20.0)
    for rank, node in enumerate(proposal.order.mpcs):
        await world.deliver(proposal.query_id, Account(node), rank)
    for owner in proposal.order.owners:
        await world.deliver(proposal.query_id, Account(owner), 255)
    await world.until(proposal.query_id, lambda view: view.status == "completed")


async def test_a_sender_goes_on_measuring_when_the_database_is_away(
    world: World, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.database._FAILOVER_SECONDS", 0.2)
    async with Database(f"postgresql+psycopg://soter@127.0.0.1:{unused_tcp_port}/soter") as nobody:
        sending = SenderService(replace(world.context, database=nobody), world.signer)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await sending._measure()
