"""Queries from proposal to cleanup and rating, on a real chain and a real database, their agents scripted."""

import base64
import time
from dataclasses import replace

import pytest
from fixtures.query_world import World, eventually
from fixtures.settlements import settlement_of
from sqlalchemy import update
from sqlmodel import col

from coordinator.chain import outbox
from coordinator.models.queries import Query, StoredShare
from coordinator.models.resources import Reservation
from coordinator.queries import service
from coordinator.queries.schemas import FailureNotice
from coordinator.resources import service as resources
from coordinator.wakeups import Topic
from soterone.chain.calls import CallBuilder
from soterone.chain.records import QueryStatus
from soterone.client.orders import to_order
from soterone.client.verification import check_result
from soterone.crypto.messages import Cancellation, Feedback, QueryOrder, sign
from soterone.crypto.sealing import share_context
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.rest.queries import CancelRequest, FeedbackRequest, TimerWishes


async def test_a_query_runs_from_proposal_to_cleanup_and_rating(world: World) -> None:
    proposal = await world.propose()
    listed = await service.list_queries(world.context, world.customer.account, None, 10)
    assert [view.id for view in listed.queries] == [proposal.query_id]
    await world.launch(proposal)
    ended = await world.run_to_the_end(proposal)
    assert ended.result_hash is not None
    await check_customer_opens(world, proposal.query_id, to_order(proposal.order))

    state = await eventually(
        lambda: world.context.chain.status_of(QueryId(proposal.query_id)),
        lambda state: state.status is QueryStatus.COMPLETED_CLEANED,
    )
    assert state.generation == 0
    await world.clean(proposal)
    cleaned = await world.until(proposal.query_id, lambda view: view.cleaned_up)
    assert cleaned.status == "completed"
    async with world.database.reading() as session:
        assert not await resources.is_held(session, proposal.query_id)
        usage = await service.usage_of(
            session, [proposal.order.mpcs[0], *[str(d) for d in cleaned.spec.datasets]]
        )
        jobs = await service.jobs_of(session, proposal.order.mpcs[0])
    assert all((one.chosen, one.completed, one.failed) == (1, 1, 0) for one in usage.values())
    assert [job.query_id for job in jobs] == [proposal.query_id]

    await eventually(lambda: world.kinds(proposal.query_id), lambda kinds: "settled" in kinds)
    settlement = await settlement_of(world.context.chain, QueryId(proposal.query_id))
    assert set(settlement) == {100}
    await rate(world, proposal.query_id, proposal.order.mpcs[0], 90)
    kinds = await eventually(lambda: world.kinds(proposal.query_id), lambda kinds: "feedback-given" in kinds)
    story = [
        "proposed",
        "reserved",
        "signed",
        "dispatched",
        "running",
        "delivering",
        "completed",
        "cleaned-up",
    ]
    assert [kind for kind in kinds if kind in story] == story


async def check_customer_opens(world: World, query_id: str, order: QueryOrder) -> None:
    """Check the result as the SDK does, against the commitment on chain, and open each share."""
    result = await service.result(world.context, world.customer.account, query_id)
    commitment = await world.context.chain.commitment_of(QueryId(query_id))
    checked = check_result(result, order, commitment, world.context.domain("QueryLedger"))
    identifier = hash_bytes(query_id)
    opened = [
        world.result_key.open(sealed, share_context(identifier, 0, rank))
        for rank, sealed in checked.shares.items()
    ]
    assert opened == [b"weights 0", b"weights 1", b"weights 2"]
    assert len(checked.constants) == 2
    assert all(base64.b64decode(share.sealed_base64) for share in result.shares)


async def rate(world: World, query_id: str, node: str, percent: int) -> None:
    message = Feedback(hash_bytes(query_id), (Account(node),), (percent,), int(time.time()) + 600)
    signature = sign(world.customer, world.context.domain("ReputationLedger"), message)
    request = FeedbackRequest(
        nodes=[node], ratings=[percent], deadline=message.deadline, signature=f"0x{signature.hex()}"
    )
    before = await world.context.chain.score_of(Account(node))
    await service.give_feedback(world.context, world.customer.account, query_id, request)
    await service.give_feedback(world.context, world.customer.account, query_id, request)
    await eventually(lambda: world.kinds(query_id), lambda kinds: kinds.count("feedback-given") == 1)
    assert await world.context.chain.score_of(Account(node)) >= before


async def test_two_shares_complete_a_query_without_the_third(world: World) -> None:
    proposal = await world.propose(TimerWishes(max_run_seconds=600))
    await world.launch(proposal)
    first, second, third = (Account(node) for node in proposal.order.mpcs)
    assert await world.deliver(proposal.query_id, first, 0)
    assert await world.deliver(proposal.query_id, second, 1)
    await world.until(proposal.query_id, lambda view: view.status == "delivering")
    await age_shares(world, proposal.query_id, 31.0)
    ended = await world.until(proposal.query_id, lambda view: view.status == "completed")
    assert not await world.deliver(proposal.query_id, third, 2)
    result = await service.result(world.context, world.customer.account, ended.id)
    assert [share.rank for share in result.shares] == [0, 1]
    commitment = await world.context.chain.commitment_of(QueryId(ended.id))
    checked = check_result(result, to_order(proposal.order), commitment, world.context.domain("QueryLedger"))
    assert sorted(checked.shares) == [0, 1]
    settlement = await eventually(lambda: settlement_of(world.context.chain, QueryId(ended.id)), bool)
    assert sorted(settlement) == [50, 100, 100, 100, 100]


async def age_shares(world: World, query_id: str, seconds: float) -> None:
    """Let shares be as old as if so much time had passed."""
    async with world.database.transaction() as session:
        await session.execute(
            update(StoredShare)
            .where(col(StoredShare.query_id) == query_id)
            .values(stored_at=col(StoredShare.stored_at) - seconds)
        )


async def test_a_reported_failure_ends_the_query_with_its_reason(world: World) -> None:
    proposal = await world.propose()
    await world.launch(proposal)
    owner = Account(proposal.order.owners[0])
    notice = FailureNotice(
        QueryId(proposal.query_id), 0, FailureReason.BAD_DATA, "Column radius has a NaN in row 7."
    )
    await service.record_failure(world.context, owner, notice)
    await service.record_failure(world.context, owner, notice)
    failed = await world.until(proposal.query_id, lambda view: view.status == "failed")
    assert failed.failure is not None
    assert (failed.failure.reason, failed.failure.node) == (FailureReason.BAD_DATA, owner)
    assert failed.failure.sentence == notice.sentence
    settlement = await eventually(
        lambda: settlement_of(world.context.chain, QueryId(proposal.query_id)),
        bool,
    )
    expected = [50 if node == owner else 100 for node in (*proposal.order.owners, *proposal.order.mpcs)]
    assert list(settlement) == expected


async def test_a_lost_owner_fails_the_query(world: World) -> None:
    proposal = await world.propose()
    await world.launch(proposal)
    owner = Account(proposal.order.owners[1])
    await world.disconnect(owner)
    failed = await world.until(proposal.query_id, lambda view: view.status == "failed")
    assert failed.failure is not None
    assert (failed.failure.reason, failed.failure.node) == (FailureReason.OWNER_LOST, owner)


async def test_a_lost_owner_after_the_training_fails_nothing(world: World) -> None:
    proposal = await world.propose()
    await world.launch(proposal)
    for node in proposal.order.mpcs[:2]:
        await world.progress(proposal.query_id, Account(node), "deliver")
    await world.disconnect(Account(proposal.order.owners[0]))
    for rank, node in enumerate(proposal.order.mpcs):
        await world.deliver(proposal.query_id, Account(node), rank)
    await world.deliver(proposal.query_id, Account(proposal.order.owners[1]), 255)
    await world.until(proposal.query_id, lambda view: view.status == "completed")


async def test_a_dispatched_query_is_cancelled_by_signature_on_chain(world: World) -> None:
    proposal = await world.propose()
    await world.launch(proposal)
    message = Cancellation(hash_bytes(proposal.query_id), int(time.time()) + 600)
    signature = sign(world.customer, world.context.domain("QueryLedger"), message)
    request = CancelRequest(deadline=message.deadline, signature=f"0x{signature.hex()}")
    for _ in range(2):
        await service.cancel(world.context, world.customer.account, proposal.query_id, request)
    view = await world.until(proposal.query_id, lambda view: view.status == "cancelled")
    assert view.failure is not None
    assert view.failure.reason == FailureReason.CANCELLED


async def test_an_unsigned_proposal_is_cancelled_at_once_and_frees_its_nodes(world: World) -> None:
    proposal = await world.propose()
    await service.cancel(world.context, world.customer.account, proposal.query_id, CancelRequest())
    view = await world.view(proposal.query_id)
    assert (view.status, view.cleaned_up) == ("cancelled", True)
    async with world.database.reading() as session:
        assert await session.get(Reservation, (proposal.query_id, proposal.order.mpcs[0])) is None


async def test_a_query_that_runs_too_long_is_closed(world: World) -> None:
    proposal = await world.propose(TimerWishes(max_run_seconds=10))
    await world.launch(proposal)
    await backdate(world, proposal.query_id, 11.0)
    failed = await world.until(proposal.query_id, lambda view: view.status == "failed")
    assert failed.failure is not None
    assert failed.failure.reason == FailureReason.TIMED_OUT


async def backdate(world: World, query_id: str, seconds: float) -> None:
    """Let a query have been dispatched earlier."""
    async with world.database.transaction() as session:
        query = await session.get(Query, query_id)
        assert query is not None
        assert query.dispatched_at is not None
        query.dispatched_at -= seconds


@pytest.mark.parametrize("heard", [False, True])
async def test_who_only_heard_of_a_failure_tells_its_reason_and_is_not_blamed(
    world: World, heard: bool
) -> None:
    proposal = await world.propose()
    await world.launch(proposal)
    node = Account(proposal.order.mpcs[0])
    notice = FailureNotice(QueryId(proposal.query_id), 0, FailureReason.BAD_DATA, "Bad column.", heard)
    await service.record_failure(world.context, node, notice)
    failed = await world.until(proposal.query_id, lambda view: view.status == "failed")
    assert failed.failure is not None
    assert (failed.failure.reason, failed.failure.sentence) == (FailureReason.BAD_DATA, "Bad column.")
    assert failed.failure.node == (None if heard else node)


async def test_a_node_cannot_end_a_query_in_the_customers_name(world: World) -> None:
    proposal = await world.propose()
    await world.launch(proposal)
    for reason in (FailureReason.CANCELLED, FailureReason.OWNER_LOST):
        notice = FailureNotice(QueryId(proposal.query_id), 0, reason, "It is over.")
        await service.record_failure(world.context, Account(proposal.order.mpcs[0]), notice)
    failed = await world.until(proposal.query_id, lambda view: view.status == "failed")
    assert failed.failure is not None
    assert failed.failure.reason == FailureReason.ENGINE_ERROR


@pytest.mark.parametrize("other", [{"max_run_seconds": 77}, {"max_replacements": 1}], ids=str)
async def test_another_order_under_the_same_id_is_not_ours(world: World, other: dict[str, int]) -> None:
    proposal = await world.propose()
    order = replace(to_order(proposal.order), **other)
    signature = sign(world.customer, world.context.domain("QueryLedger"), order)
    call = CallBuilder(world.context.chain.contracts.addresses).dispatch(order, signature)
    async with world.database.transaction() as session:
        await outbox.enqueue(session, outbox.key(proposal.query_id, "elsewhere"), call)
    world.context.wakeups.notify(Topic.OUTBOX)
    await eventually(
        lambda: world.context.chain.status_of(QueryId(proposal.query_id)),
        lambda state: state.status is QueryStatus.DISPATCHED,
    )
    other = await world.propose()
    await world.launch(other)
    assert (await world.view(proposal.query_id)).status == "reserved"


async def test_a_customer_may_dispatch_its_order_itself(world: World) -> None:
    proposal = await world.propose()
    order = to_order(proposal.order)
    signature = sign(world.customer, world.context.domain("QueryLedger"), order)
    call = CallBuilder(world.context.chain.contracts.addresses).dispatch(order, signature)
    async with world.database.transaction() as session:
        await outbox.enqueue(session, outbox.key(proposal.query_id, "by-itself"), call)
    world.context.wakeups.notify(Topic.OUTBOX)
    await world.until(proposal.query_id, lambda view: view.status == "dispatched")
    assert (await world.run_to_the_end(proposal)).status == "completed"
