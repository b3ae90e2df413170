"""A lost MPC node and its successor, on a real chain and a real database, the agents scripted."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from fixtures.query_world import World, eventually
from fixtures.settlements import settlement_of

from coordinator.queries import errors, service
from coordinator.queries.facts import LONE_SHARE_SECONDS
from coordinator.queries.schemas import CleanupNotice, FailureNotice, Progress
from coordinator.resources import repository as resources
from soterone.audit.auditor import audit
from soterone.chain.events import MPCUpdated
from soterone.chain.records import QueryStatus
from soterone.crypto.messages import CleanupDone, sign
from soterone.domain.candidates import Candidate, successor
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.domain.reputation import Record
from soterone.domain.roles import Role
from soterone.rest.queries import Proposal, QueryView, TimerWishes


async def launched(world: World, spares: int = 1, **wishes: object) -> Proposal:
    for _ in range(spares - 1):
        await world.add_node(Role.MPC_NODE)
    proposal = await world.propose(**wishes)
    await world.launch(proposal)
    return proposal


def trio_of(proposal: Proposal) -> list[Account]:
    return [Account(node) for node in proposal.order.mpcs]


async def replaced(
    world: World, proposal: Proposal, lost: Account, reporter: Account, generation: int = 0
) -> MPCUpdated:
    """Lose a node and return the event that names its successor."""
    await world.disconnect(lost)
    await world.complain(proposal.query_id, reporter, lost, generation=generation)
    await world.until_mined(proposal.query_id, lambda view: view.generation == generation + 1)
    return (await updates(world, proposal))[generation]


async def updates(world: World, proposal: Proposal) -> list[MPCUpdated]:
    chain = world.context.chain
    head = (await chain.head()).number
    found = await chain.events_between(chain.contracts.start_block, head)
    return [one for one in found if isinstance(one, MPCUpdated) and one.query_id == proposal.query_id]


async def finish(world: World, proposal: Proposal, trio: Sequence[Account], generation: int) -> QueryView:
    for rank, node in enumerate(trio):
        await world.progress(proposal.query_id, node, "train", generation=generation)
        assert await world.deliver(proposal.query_id, node, rank, b"weights %d" % rank, generation)
    for owner in proposal.order.owners:
        await world.deliver(proposal.query_id, Account(owner), 255, b"constants", generation)
    return await world.until(proposal.query_id, lambda view: view.status == "completed")


async def observations(world: World, proposal: Proposal) -> list[int]:
    settlement = await eventually(
        lambda: settlement_of(world.context.chain, QueryId(proposal.query_id)),
        bool,
    )
    return list(settlement)


async def test_a_lost_node_is_replaced_by_a_draw_that_anybody_can_repeat(world: World) -> None:
    proposal = await launched(world, spares=3)
    trio, owner = trio_of(proposal), Account(proposal.order.owners[0])
    event = await replaced(world, proposal, trio[1], owner)
    assert (event.old_mpc, event.generation) == (trio[1], 1)
    assert set(event.candidates).isdisjoint({*trio, *proposal.order.owners})
    assert await drawn_again(world, event, [trio[0], trio[2]]) == event.new_mpc

    present = [trio[0], event.new_mpc, trio[2]]
    session = await service.describe_session(world.context, event.new_mpc, QueryId(proposal.query_id))
    assert [one.account for one in session.members] == [*proposal.order.owners, *present]
    assert session.generation == 1
    view = await world.view(proposal.query_id)
    assert view.status == "recovering"
    await world.progress(proposal.query_id, present[1], "train", 0.5, generation=1)
    await world.until(proposal.query_id, lambda view: view.status == "running")

    assert (await finish(world, proposal, present, 1)).generation == 1
    assert await observations(world, proposal) == [100, 100, 100, 100, 100, 0]
    report = await audit(world.context.chain)
    assert [check.contradictions for check in report.checks if check.contradictions] == []
    kinds = await world.kinds(proposal.query_id)
    story = ["dispatched", "loss-reported", "mpc-lost", "recovering", "mpc-updated", "running", "completed"]
    assert [kind for kind in kinds if kind in story] == story


async def drawn_again(world: World, event: MPCUpdated, survivors: Sequence[Account]) -> Account:
    """Repeat the draw from the chain alone."""
    chain, number = world.context.chain, event.seed_block
    block = await chain.block(number)
    assert block is not None
    assert block.number < event.position.block_number
    epoch = block.timestamp // await chain.epoch_seconds()
    candidates = []
    for account in event.candidates:
        node, record = await chain.node_of(account, number), await chain.record_of(account, number)
        candidates.append(Candidate.of_record(account, node.operator, node.version, Record(*record), epoch))
    taken = frozenset([await chain.operator_of(one) for one in survivors])
    return successor(hash_bytes(block.hash), candidates, 0x000100, taken)


async def test_the_replaced_one_is_refused_everything_but_its_farewell(world: World) -> None:
    proposal = await launched(world)
    trio, owner = trio_of(proposal), Account(proposal.order.owners[0])
    identifier = QueryId(proposal.query_id)
    assert await world.deliver(proposal.query_id, trio[1], 1)
    event = await replaced(world, proposal, trio[0], owner)
    with pytest.raises(errors.NotParticipant, match="replaced"):
        await service.describe_session(world.context, trio[0], identifier)
    with pytest.raises(errors.StaleGeneration):
        await world.deliver(proposal.query_id, trio[1], 1)
    with pytest.raises(errors.StaleGeneration):
        await world.progress(proposal.query_id, trio[0], "train")
    with pytest.raises(errors.NotParticipant):
        await service.record_progress(world.context, trio[0], Progress(identifier, 1, 1, "train", 0.5))
    with pytest.raises(errors.NotParticipant):
        await world.deliver(proposal.query_id, trio[0], 0, generation=1)
    await say_clean(world, proposal, trio[0])
    with pytest.raises(errors.NotYet):
        await say_clean(world, proposal, trio[1])
    async with world.database.reading() as session:
        held = await resources.promised(session, [trio[0], event.new_mpc])
    assert list(held) == [event.new_mpc]


async def say_clean(world: World, proposal: Proposal, node: Account) -> None:
    deadline = int(time.time()) + 600
    message = CleanupDone(hash_bytes(proposal.query_id), deadline)
    signature = sign(world.nodes[node], world.context.domain("QueryLedger"), message)
    notice = CleanupNotice(QueryId(proposal.query_id), deadline, signature)
    await service.record_cleanup(world.context, node, notice)


async def test_silence_alone_replaces_nobody_and_who_returns_stays(world: World) -> None:
    proposal = await launched(world)
    trio, owner = trio_of(proposal), Account(proposal.order.owners[1])
    await world.disconnect(trio[2])
    await asyncio.sleep(1.0)
    assert (await world.view(proposal.query_id)).status == "dispatched"
    await world.complain(proposal.query_id, owner, trio[2])
    await eventually(lambda: world.kinds(proposal.query_id), lambda kinds: "mpc-lost" in kinds)
    await world.reconnect(trio[2])
    await eventually(lambda: world.kinds(proposal.query_id), lambda kinds: "mpc-returned" in kinds)
    await world.mine()
    for node in trio:
        await world.progress(proposal.query_id, node, "train", 0.5)
    view = await world.until(proposal.query_id, lambda view: view.status == "running")
    assert view.generation == 0
    assert (await finish(world, proposal, trio, 0)).status == "completed"
    assert await observations(world, proposal) == [100] * 5


async def test_a_node_that_its_peers_cannot_link_with_is_replaced_without_blame(world: World) -> None:
    proposal = await launched(world)
    trio = trio_of(proposal)
    await world.complain(proposal.query_id, trio[0], trio[1], unlinked=True)
    await world.complain(proposal.query_id, trio[1], trio[0], unlinked=True)
    await world.complain(proposal.query_id, trio[2], trio[1])
    await world.until_mined(proposal.query_id, lambda view: view.generation == 1)
    (event,) = await updates(world, proposal)
    assert event.old_mpc == trio[1]
    await finish(world, proposal, [trio[0], event.new_mpc, trio[2]], 1)
    assert await observations(world, proposal) == [100] * 6


async def test_two_lost_at_once_are_replaced_one_after_the_other(world: World) -> None:
    proposal = await launched(world, spares=2)
    trio, owner = trio_of(proposal), Account(proposal.order.owners[0])
    await world.disconnect(trio[2])
    first = await replaced(world, proposal, trio[0], owner)
    second = await replaced(world, proposal, trio[2], owner, generation=1)
    assert len({first.new_mpc, second.new_mpc, *trio}) == 5
    await finish(world, proposal, [first.new_mpc, trio[1], second.new_mpc], 2)
    assert await observations(world, proposal) == [100] * 5 + [0, 0]
    assert (await audit(world.context.chain)).ok


async def test_without_a_successor_the_query_waits_and_then_fails_with_that_reason(world: World) -> None:
    wishes = {"mpc": {"select": "auto", "successor_wait_seconds": 1}}
    proposal = await launched(world, **wishes)
    trio, owner = trio_of(proposal), Account(proposal.order.owners[0])
    (spare,) = set(world.nodes) - {*trio, *(one.account for one in world.owners)}
    await world.disconnect(spare)
    await world.disconnect(trio[0])
    await world.complain(proposal.query_id, owner, trio[0])
    view = await world.until_mined(proposal.query_id, lambda view: view.status == "failed")
    assert view.failure is not None
    assert (view.failure.reason, view.failure.node) == (FailureReason.NO_SUCCESSOR, trio[0])
    assert await observations(world, proposal) == [100, 100, 0, 100, 100]


async def test_after_the_last_replacement_the_next_loss_fails_the_query_at_once(world: World) -> None:
    proposal = await world.propose(TimerWishes(max_replacements=0))
    await world.launch(proposal)
    trio, owner = trio_of(proposal), Account(proposal.order.owners[0])
    await world.disconnect(trio[1])
    await world.complain(proposal.query_id, owner, trio[1])
    view = await world.until(proposal.query_id, lambda view: view.status == "failed")
    assert view.failure is not None
    assert (view.failure.reason, view.failure.node) == (FailureReason.NO_SUCCESSOR, trio[1])


async def test_nobody_is_replaced_while_two_shares_exist(world: World) -> None:
    proposal = await launched(world)
    trio, owner = trio_of(proposal), Account(proposal.order.owners[0])
    assert await world.deliver(proposal.query_id, trio[0], 0)
    await world.progress(proposal.query_id, trio[1], "deliver", 0.0)
    await world.disconnect(trio[2])
    await world.complain(proposal.query_id, owner, trio[2])
    await asyncio.sleep(1.0)
    assert "mpc-lost" not in await world.kinds(proposal.query_id)
    assert await world.deliver(proposal.query_id, trio[1], 1)
    view = await world.until(proposal.query_id, lambda view: view.status == "delivering")
    assert view.generation == 0


async def test_a_successor_that_declines_is_not_blamed_for_it(world: World) -> None:
    proposal = await launched(world)
    event = await replaced(world, proposal, trio_of(proposal)[0], Account(proposal.order.owners[0]))
    notice = FailureNotice(
        QueryId(proposal.query_id), 1, FailureReason.POLICY_REFUSED, "Not for this purpose."
    )
    await service.record_failure(world.context, event.new_mpc, notice)
    view = await world.until_mined(proposal.query_id, lambda view: view.status == "failed")
    assert view.failure is not None
    assert (view.failure.reason, view.failure.node) == (FailureReason.POLICY_REFUSED, None)
    assert await observations(world, proposal) == [100] * 5 + [0]


async def test_a_share_that_no_other_follows_hides_no_loss_for_long(world: World) -> None:
    proposal = await launched(world)
    trio, owner = trio_of(proposal), Account(proposal.order.owners[0])
    assert await world.deliver(proposal.query_id, trio[0], 0, b"junk")
    await world.disconnect(trio[0])
    await world.complain(proposal.query_id, owner, trio[0])
    await asyncio.sleep(1.0)
    assert "mpc-lost" not in await world.kinds(proposal.query_id)
    await world.age_shares(LONE_SHARE_SECONDS)
    await world.until_mined(proposal.query_id, lambda view: view.generation == 1)
    (event,) = await updates(world, proposal)
    await finish(world, proposal, [event.new_mpc, *trio[1:]], 1)
    assert await observations(world, proposal) == [100] * 5 + [0]


async def test_owners_decide_whose_nodes_may_follow(world: World) -> None:
    proposal = await launched(world, spares=2, mpc={"select": "auto", "successor_wait_seconds": 30})
    trio, owner = trio_of(proposal), Account(proposal.order.owners[0])
    spares = sorted(set(world.nodes) - {*trio, *(one.account for one in world.owners)})
    await world.accept_only(proposal.query_id, owner, (trio[0], spares[1]))
    event = await replaced(world, proposal, trio[1], owner)
    assert event.candidates == (spares[1],)


async def test_a_complaint_must_fit(world: World) -> None:
    proposal = await launched(world)
    trio, owners = trio_of(proposal), [Account(one) for one in proposal.order.owners]
    for reporter, lost in ((trio[0], owners[0]), (trio[0], trio[0]), (trio[0], world.customer.account)):
        with pytest.raises(errors.SpecDoesNotFit, match="no other MPC node"):
            await world.complain(proposal.query_id, reporter, lost)
    with pytest.raises(errors.StaleGeneration):
        await world.complain(proposal.query_id, trio[0], trio[1], generation=1)
    (spare,) = set(world.nodes) - {*trio, *owners}
    with pytest.raises(errors.NotParticipant):
        await world.complain(proposal.query_id, spare, trio[1])
    state = await world.context.chain.status_of(QueryId(proposal.query_id))
    assert state.status is QueryStatus.DISPATCHED
