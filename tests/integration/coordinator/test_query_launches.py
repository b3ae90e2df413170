"""Signed wishes: what is checked before anything is sent to the chain, and what each bad one gets."""

import time
from dataclasses import replace

import pytest
from eth_utils.crypto import keccak
from fixtures.chain import Anvil
from fixtures.query_world import World, eventually

from coordinator.chain import outbox
from coordinator.errors import answer_to
from coordinator.queries import errors, repository, service
from coordinator.queries.launches import _sign
from coordinator.wakeups import Topic
from soterone.chain.calls import CallBuilder
from soterone.client.orders import to_order
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Domain, Feedback, Unregistration, sign
from soterone.domain.ids import Account, hash_bytes
from soterone.rest.queries import CancelRequest, FeedbackRequest, LaunchRequest, Proposal

WALLET_CODE = "0x6064356000" + "1a602a14" + "631626ba7e60e01b" + "02600052" + "60206000f3"
"""A wallet contract (ERC-1271) that takes whatever signature begins with the byte 42."""


async def refused(
    world: World, request: LaunchRequest, kind: type[errors._Said], customer: Account | None = None
) -> str:
    with pytest.raises(kind) as caught:
        await service.launch(world.context, customer or world.customer.account, request)
    async with world.database.reading() as session:
        assert await outbox.find(session, outbox.key(request.query_id, "dispatch")) is None
    return caught.value.sentence


async def test_somebody_elses_signature_is_refused(world: World) -> None:
    proposal = await world.propose()
    sentence = await refused(world, world.signed(proposal, Signer.new()), errors.WrongSignature)
    assert world.customer.account in sentence


async def test_a_signature_for_another_chain_or_contract_or_order_is_refused(world: World) -> None:
    proposal = await world.propose()
    order, domain = to_order(proposal.order), world.context.domain("QueryLedger")
    for where, what in (
        (Domain(1, domain.contract), order),
        (Domain(domain.chain_id, world.context.domain("NodeRegistry").contract), order),
        (domain, replace(order, max_run_seconds=order.max_run_seconds + 1)),
    ):
        signature = sign(world.customer, where, what)
        request = LaunchRequest(query_id=proposal.query_id, signature=f"0x{signature.hex()}")
        sentence = await refused(world, request, errors.WrongSignature)
        assert f"chain {domain.chain_id}" in sentence


async def test_malformed_signatures_are_refused(world: World) -> None:
    proposal = await world.propose()
    good = world.signed(proposal).signature
    high_s = "0x" + good[2:66] + "f" * 64 + good[130:]
    for bad in ("0x", "0x1234", good[:-2], good + "00", high_s):
        await refused(world, LaunchRequest(query_id=proposal.query_id, signature=bad), errors.WrongSignature)


async def test_a_stranger_cannot_launch_or_even_see_the_query(world: World) -> None:
    proposal, stranger = await world.propose(), Signer.new()
    with pytest.raises(errors.UnknownQuery):
        await service.launch(world.context, stranger.account, world.signed(proposal))
    for look in (service.show, service.result):
        with pytest.raises(errors.UnknownQuery) as caught:
            await look(world.context, stranger.account, proposal.query_id)
        assert answer_to(caught.value).status == 404
    with pytest.raises(errors.UnknownQuery):
        await service.cancel(world.context, stranger.account, proposal.query_id, CancelRequest())
    with pytest.raises(errors.UnknownQuery):
        await anext(service.events(world.context, stranger.account, proposal.query_id, 0))


async def test_launching_twice_sends_once_and_a_finished_order_is_not_replayed(world: World) -> None:
    proposal = await world.propose()
    for _ in range(2):
        accepted = await service.launch(world.context, world.customer.account, world.signed(proposal))
        assert accepted.query_id == proposal.query_id
    await world.until(proposal.query_id, lambda view: view.status == "dispatched")
    accepted = await service.launch(world.context, world.customer.account, world.signed(proposal))
    assert accepted.status == "dispatched"
    await world.run_to_the_end(proposal)
    with pytest.raises(errors.AlreadyEnded) as caught:
        await service.launch(world.context, world.customer.account, world.signed(proposal))
    assert "an order works once" in caught.value.sentence
    async with world.database.reading() as session:
        rows = await outbox.rows_of(session, proposal.query_id)
    assert [row.action for row in rows].count("dispatch") == 1


async def test_a_lapsed_proposal_cannot_be_launched(world: World) -> None:
    world.change_limits(signing_seconds=1, offer_seconds=0.5)
    proposal = await world.propose()
    await world.until(proposal.query_id, lambda view: view.status == "cancelled")
    sentence = await refused(world, world.signed(proposal), errors.OrderExpired)
    assert "Propose the query anew" in sentence


async def test_an_order_that_the_contract_would_refuse_is_not_sent(world: World) -> None:
    proposal = await world.propose()
    await unregister(world, Account(proposal.order.mpcs[1]))
    sentence = await refused(world, world.signed(proposal), errors.OrderExpired)
    assert proposal.order.mpcs[1] in sentence
    assert "propose the query anew" in sentence


async def unregister(world: World, node: Account) -> None:
    message = Unregistration(node, 1, int(time.time()) + 600)
    signature = sign(world.nodes[node], world.context.domain("NodeRegistry"), message)
    call = CallBuilder(world.context.chain.contracts.addresses).unregister(message, signature)
    async with world.database.transaction() as session:
        await outbox.enqueue(session, outbox.key(node, "unregister"), call)
    world.context.wakeups.notify(Topic.OUTBOX)
    await eventually(lambda: world.context.chain.node_of(node), lambda found: found.status == 3)


async def test_an_order_that_the_chain_refuses_ends_the_query_with_its_reason(world: World) -> None:
    """Two orders race for nothing but the node that left between the rehearsal and the block."""
    proposal = await world.propose()
    await unregister(world, Account(proposal.order.mpcs[0]))
    request = world.signed(proposal)
    call = CallBuilder(world.context.chain.contracts.addresses).dispatch(
        to_order(proposal.order), bytes.fromhex(request.signature[2:])
    )
    async with world.database.transaction() as session:
        query = await repository.get(session, proposal.query_id)
        assert query is not None
        await _sign(session, query, request.signature, call)
    failed = await world.until(proposal.query_id, lambda view: view.status == "failed")
    assert failed.failure is not None
    assert (failed.failure.reason, "chain refused" in failed.failure.sentence) == (0, True)
    assert failed.cleaned_up


async def test_a_wallet_contract_orders_by_erc_1271(world: World, anvil: Anvil) -> None:
    anvil.rpc("anvil_setCode", world.customer.account, WALLET_CODE)
    proposal = await world.propose()
    bad = LaunchRequest(query_id=proposal.query_id, signature="0x2b" + "00" * 64)
    await refused(world, bad, errors.WrongSignature)
    good = LaunchRequest(query_id=proposal.query_id, signature="0x2a" + "00" * 64)
    await service.launch(world.context, world.customer.account, good)
    await world.until(proposal.query_id, lambda view: view.status == "dispatched")


async def test_feedback_is_checked_before_it_is_relayed(world: World) -> None:
    proposal = await world.propose()
    node = Account(proposal.order.mpcs[0])
    with pytest.raises(errors.NotYet):
        await give(world, proposal, [node], [90])
    await world.launch(proposal)
    await world.run_to_the_end(proposal)
    await eventually(lambda: world.kinds(proposal.query_id), lambda kinds: "settled" in kinds)
    with pytest.raises(errors.FeedbackRefused, match="took no part"):
        await give(world, proposal, [Signer.new().account], [90])
    with pytest.raises(errors.SpecDoesNotFit, match="0 to 100"):
        await give(world, proposal, [node], [101])
    with pytest.raises(errors.SpecDoesNotFit, match="twice"):
        await give(world, proposal, [node, node], [90, 90])
    with pytest.raises(errors.WrongSignature):
        await give(world, proposal, [node], [90], Signer.new())
    with pytest.raises(errors.FeedbackRefused, match="deadline"):
        await give(world, proposal, [node], [90], deadline=int(time.time()) - 10)
    await give(world, proposal, [node], [90])
    await eventually(lambda: world.kinds(proposal.query_id), lambda kinds: "feedback-given" in kinds)
    with pytest.raises(errors.FeedbackRefused, match="rated already"):
        await give(world, proposal, [node], [10])


async def give(
    world: World,
    proposal: Proposal,
    nodes: list[Account],
    ratings: list[int],
    signer: Signer | None = None,
    deadline: int | None = None,
) -> None:
    deadline = deadline or int(time.time()) + 600
    allowed = tuple(min(rating, 100) for rating in ratings)
    message = Feedback(hash_bytes(proposal.query_id), tuple(nodes), allowed, deadline)
    signature = sign(signer or world.customer, world.context.domain("ReputationLedger"), message)
    request = FeedbackRequest(
        nodes=list(nodes), ratings=ratings, deadline=deadline, signature=f"0x{signature.hex()}"
    )
    await service.give_feedback(world.context, world.customer.account, proposal.query_id, request)


def test_the_wallet_is_what_it_says() -> None:
    assert WALLET_CODE.count("1626ba7e") == 1
    assert keccak(text="isValidSignature(bytes32,bytes)")[:4].hex() == "1626ba7e"
