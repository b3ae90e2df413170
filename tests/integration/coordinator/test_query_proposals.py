"""What a proposal reserves, whom it asks, and what every bad one gets."""

import asyncio

import pytest
from fixtures.query_world import DATASETS, LABELLED, PROFILE, World, eventually, table
from sqlalchemy import case, func, select, update
from sqlmodel import col

from coordinator.datasets import service as datasets
from coordinator.errors import CoordinatorError, answer_to
from coordinator.models.nodes import Node, NodeLiveness
from coordinator.models.queries import Offer, OfferState, Query
from coordinator.models.resources import Reservation
from coordinator.queries import errors, service
from coordinator.resources.demand import mpc_demand
from coordinator.resources.errors import NodeFull
from coordinator.retries import persistently
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account
from soterone.domain.metadata import ColumnMetadata
from soterone.domain.roles import Role
from soterone.rest.queries import CancelRequest, ProposalRequest


async def rows(world: World, model: type) -> int:
    async with world.database.reading() as session:
        return int(await session.scalar(select(func.count()).select_from(model)) or 0)


async def refusal(world: World, kind: type[CoordinatorError], **changes: object) -> tuple[int, str]:
    """Propose, expect the refusal, and check that nothing was left behind."""
    with pytest.raises(kind) as caught:
        await world.propose(**changes)
    assert await rows(world, Query) == 0
    assert await rows(world, Reservation) == 0
    return answer_to(caught.value).status, caught.value.sentence


async def test_the_order_is_exactly_what_was_asked(world: World) -> None:
    proposal = await world.propose()
    order = proposal.order
    assert order.owners == sorted((owner.account for owner in world.owners), key=lambda one: int(one, 16))
    assert order.mpcs == sorted(order.mpcs, key=lambda one: int(one, 16))
    assert len({*order.mpcs}) == 3
    assert not {*order.mpcs} & {*order.owners}
    view = await world.view(proposal.query_id)
    assert (view.status, view.spec.hash) == ("reserved", order.spec_hash)
    assert await rows(world, Reservation) == 5
    assert 0 < proposal.expires_in_seconds <= world.context.limits.signing_seconds + 10


async def test_named_nodes_are_taken_as_named(world: World) -> None:
    named = [node for node in world.moods if node not in {one.account for one in world.owners}][:3]
    proposal = await world.propose(mpc={"nodes": [node.lower() for node in named]})
    assert {*proposal.order.mpcs} == {*named}


async def test_a_drawn_node_that_refuses_is_replaced_and_hears_of_the_release(world: World) -> None:
    mpcs = [node for node in world.moods if node not in {one.account for one in world.owners}]
    world.change_limits(proposal_tries=12)
    world.moods[mpcs[0]] = "I do not compute for you."
    for _ in range(4):
        proposal = await world.propose()
        assert mpcs[0] not in proposal.order.mpcs
        await service.cancel(world.context, world.customer.account, proposal.query_id, CancelRequest())
    assert await rows(world, Reservation) == 0

    async def undropped() -> int:
        async with world.database.reading() as session:
            left = select(func.count()).select_from(Offer).where(Offer.state != OfferState.DROPPED)
            return int(await session.scalar(left) or 0)

    await eventually(undropped, lambda left: left == 0)


async def test_an_owner_that_refuses_or_is_silent_ends_the_proposal(world: World) -> None:
    owner = world.owners[0].account
    world.moods[owner] = "purpose research\x1b[2J\u202e is not allowed here"
    status, sentence = await refusal(world, errors.OfferRefused)
    assert status == 409
    assert owner in sentence
    assert "purpose research[2J is not allowed here" in sentence
    world.moods[owner] = None
    world.change_limits(offer_seconds=0.2)
    status, sentence = await refusal(world, errors.OfferRefused)
    assert (status, "did not answer" in sentence) == (409, True)


async def test_datasets_that_cannot_be_used(world: World) -> None:
    unknown = "99999999-9999-4999-8999-999999999999"
    status, sentence = await refusal(world, errors.UnknownDataset, datasets=[DATASETS[0], unknown])
    assert (status, unknown in sentence) == (404, True)
    async with world.database.transaction() as session:
        await datasets.withdraw(session, world.owners[1].account, DATASETS[1])
    status, sentence = await refusal(world, errors.DatasetWithdrawn)
    assert (status, DATASETS[1] in sentence) == (409, True)


async def test_an_offline_owner_and_too_few_mpc_nodes(world: World) -> None:
    owner = world.owners[0].account
    mpcs = [node for node in world.moods if node not in {one.account for one in world.owners}]
    for node in mpcs[:2]:
        await world.disconnect(node)
    status, sentence = await refusal(world, errors.NotEnoughNodes)
    assert (status, "3 MPC nodes" in sentence, "2 can take part" in sentence) == (409, True, True)
    status, sentence = await refusal(world, errors.NodeUnusable, mpc={"nodes": mpcs[:3]})
    assert (status, "offline" in sentence) == (409, True)
    status, sentence = await refusal(world, errors.NotEnoughNodes, mpc={"minimum_version": "9.0.0"})
    assert "9.0.0" in sentence
    await world.disconnect(owner)
    status, sentence = await refusal(world, errors.NodeUnusable)
    assert (status, owner in sentence, "offline" in sentence) == (409, True, True)


async def test_named_nodes_of_the_wrong_role_version_or_operator(world: World) -> None:
    owners = [one.account for one in world.owners]
    mpcs = [node for node in world.moods if node not in owners]
    _, sentence = await refusal(world, errors.NodeUnusable, mpc={"nodes": [owners[0], *mpcs[:2]]})
    assert "not registered as MPC node" in sentence
    stranger = Signer.new().account
    _, sentence = await refusal(world, errors.NodeUnusable, mpc={"nodes": [stranger, *mpcs[:2]]})
    assert "not a registered node" in sentence
    both = await world.add_node(Role.MPC_NODE | Role.DATA_OWNER, operator=world.nodes[mpcs[0]])
    _, sentence = await refusal(world, errors.NodeUnusable, mpc={"nodes": [both.account, *mpcs[:2]]})
    assert "three different operators" in sentence
    _, sentence = await refusal(
        world, errors.NodeUnusable, mpc={"nodes": mpcs[:3], "minimum_version": "2.0.0"}
    )
    assert "0.1.0" in sentence


async def test_a_drawn_trio_has_three_operators(world: World) -> None:
    owners = {one.account for one in world.owners}
    mpcs = [node for node in world.moods if node not in owners]
    sibling = await world.add_node(Role.MPC_NODE, operator=world.nodes[mpcs[0]])
    for _ in range(3):
        proposal = await world.propose()
        assert not {mpcs[0], sibling.account} <= {*proposal.order.mpcs}
        await service.cancel(world.context, world.customer.account, proposal.query_id, CancelRequest())


async def test_who_tells_of_load_is_drawn_only_where_others_are_short(world: World) -> None:
    owners = {one.account for one in world.owners}
    busy, *others = [node for node in world.moods if node not in owners]

    async def propose(*loaded: Account) -> set[str]:
        async with world.database.transaction() as session:
            load = case((col(NodeLiveness.account).in_(loaded), PROFILE.cpu_cores), else_=0.0)
            await session.execute(update(NodeLiveness).values(load_1min=load))
        proposal = await world.propose()
        await service.cancel(world.context, world.customer.account, proposal.query_id, CancelRequest())
        return {*proposal.order.mpcs}

    for _ in range(3):
        assert await propose(busy) == {*others}
    assert len(await propose(busy, others[0])) == 3
    assert len(await propose(busy, *others)) == 3


async def test_a_bad_result_key_is_refused(world: World) -> None:
    request = ProposalRequest(spec=world.request().spec, result_key="0x01" + "00" * 31)
    with pytest.raises(errors.BadResultKey):
        await service.propose(world.context, world.customer.account, request)


async def test_capacity_is_never_promised_twice(world: World) -> None:
    """Sixteen customers at once, nodes that hold two queries each: what is reserved never exceeds what is there."""
    demand = mpc_demand([LABELLED, table(DATASETS[1], ColumnMetadata(name="texture", kind="number"))])
    small = PROFILE.model_copy(update={"cpu_cores": 2, "memory_bytes": 2 * demand.memory_bytes + 1})

    async def shrink() -> None:
        async with world.database.transaction() as session:
            for node in (await session.scalars(select(Node))).all():
                node.profile_json = small.canonical().decode()

    await persistently(shrink, harmless=True)
    customers = [Signer.new().account for _ in range(16)]
    tries = (service.propose(world.context, customer, world.request()) for customer in customers)
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    accepted = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(accepted) == 2
    refused = {type(one) for one in outcomes if isinstance(one, BaseException)}
    assert refused <= {NodeFull, errors.NotEnoughNodes}
    async with world.database.reading() as session:
        sums = await session.execute(
            select(
                Reservation.node, func.sum(Reservation.cpu_cores), func.sum(Reservation.memory_bytes)
            ).group_by(Reservation.node)
        )
        for _, cores, memory in sums:
            assert cores <= small.cpu_cores
            assert memory <= small.memory_bytes


async def test_one_customer_cannot_flood(world: World) -> None:
    world.change_limits(open_proposals_per_customer=1)
    await world.propose()
    with pytest.raises(errors.TooManyOpenQueries) as caught:
        await world.propose()
    assert answer_to(caught.value).status == 429
    assert caught.value.retry_after_seconds is not None
    other = await service.propose(world.context, Signer.new().account, world.request())
    assert other.query_id


async def test_a_proposal_that_nobody_signs_lapses_and_frees_its_nodes(world: World) -> None:
    world.change_limits(signing_seconds=1, offer_seconds=0.5)
    proposal = await world.propose()
    view = await world.until(proposal.query_id, lambda view: view.status == "cancelled")
    assert view.failure is not None
    assert "not signed in time" in view.failure.sentence
    assert await rows(world, Reservation) == 0


async def test_a_customer_that_hangs_up_leaves_nothing_behind(world: World) -> None:
    world.moods[world.owners[0].account] = None
    proposing = asyncio.create_task(world.propose())
    await eventually(lambda: rows(world, Query), lambda count: count == 1)
    proposing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await proposing
    assert await rows(world, Query) == 0
    assert await rows(world, Reservation) == 0


async def test_statistics_do_not_count_what_was_never_dispatched(world: World) -> None:
    proposal = await world.propose()
    async with world.database.reading() as session:
        usage = await service.usage_of(session, proposal.order.mpcs)
        busy = await service.unfinished_of(session, Account(proposal.order.mpcs[0]))
    assert all(one.chosen == 0 for one in usage.values())
    assert busy == 1
