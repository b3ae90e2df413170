"""The mailbox of detectors without coins: what they may send the quorum is sent for them, and nothing else."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.chain import Anvil, deploy_contracts
from fixtures.court import GOVERNOR, Court, hashes
from fixtures.database import sqlite_url
from fixtures.query_world import World, eventually, open_world

from coordinator import judgements
from coordinator.database import Database
from coordinator.errors import Forbidden, Malformed, Missing, TooMany
from soterone.chain.ballots import Ballot
from soterone.chain.client import ChainClient
from soterone.chain.deployment import DEVNET
from soterone.chain.errors import RevertedError
from soterone.chain.governance import GovernanceCalls
from soterone.chain.records import Contracts
from soterone.crypto.accounts import Signer
from soterone.domain.detection import ClaimStatus, commitment_to, leaf_of, signature_hashes
from soterone.domain.roles import Role

SMALL = replace(DEVNET, governor=GOVERNOR.account, detector_epoch_seconds=3600)


@pytest.fixture
async def world(own_anvil: Anvil, coordinator_signer: Signer, tmp_path: Path) -> AsyncIterator[World]:
    contracts = Contracts.of(deploy_contracts(own_anvil, SMALL))
    async with (
        await ChainClient.connect(own_anvil.url, contracts) as chain,
        Database(sqlite_url(tmp_path)) as database,
        open_world(database, chain, coordinator_signer, tmp_path) as opened,
    ):
        yield opened


async def test_a_panel_without_coins_condemns(world: World, own_anvil: Anvil) -> None:
    chain = world.context.chain
    court = Court(own_anvil, chain)
    await court.seat(8)
    node, teller = (await court.register(Role.MPC_NODE)).account, next(iter(court.detectors))
    await court.next_epoch_begins()
    epoch = await court.quorum.present_epoch()

    for _ in range(2):
        await judgements.relay(world.context, teller, court.calls.open_epoch().data)
    await eventually(lambda: court.quorum.is_open(epoch), bool)
    own_anvil.rpc("anvil_mine", "0x3")
    await judgements.relay(world.context, teller, court.calls.seed_epoch(epoch).data)
    await eventually(lambda: court.quorum.bench_of(epoch), lambda found: found is not None)

    accusation = await court.accusation(node)
    panel = await court.quorum.panel_of(node, epoch)
    votes = court.votes(accusation, panel[:2])
    committing = court.calls.commit_votes(node, hashes(panel, votes)).data
    await judgements.relay(world.context, panel[0], committing)
    given = signature_hashes(panel, {one: vote.signature for one, vote in votes.items()})
    leaves = [leaf_of(*pair) if any(pair[1]) else bytes(32) for pair in zip(panel, given, strict=True)]
    ballot = Ballot.of(panel, leaves, votes)
    claim_id = commitment_to(accusation.subject, leaves)
    await eventually(lambda: court.quorum.claim_of(claim_id), lambda one: one.status is ClaimStatus.COMMITTED)

    uphold = court.calls.uphold(accusation, ballot).data
    with pytest.raises(RevertedError, match="wrong epoch"):
        await judgements.relay(world.context, teller, uphold)
    await court.next_epoch_begins()
    await judgements.relay(world.context, teller, uphold)
    await eventually(lambda: court.quorum.claim_of(claim_id), lambda one: one.status is ClaimStatus.UPHELD)


async def test_only_what_anybody_may_call_is_relayed(world: World) -> None:
    addresses, teller = world.context.chain.contracts.addresses, Signer.new().account
    for data in (
        GovernanceCalls(addresses).set_terms(SMALL.terms).data,
        GovernanceCalls(addresses).rotate([], []).data,
        b"",
        bytes(judgements.MOST_BYTES + 1),
    ):
        with pytest.raises(Malformed, match="are relayed"):
            await judgements.relay(world.context, teller, data)


async def test_a_node_is_not_relayed_for_without_end(
    world: World, own_anvil: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judgements, "MOST_AN_EPOCH", 2)
    court = Court(own_anvil, world.context.chain)
    await court.seat(8)
    node = (await court.register(Role.MPC_NODE)).account
    epoch = await court.next_epoch()
    panel = await court.quorum.panel_of(node, epoch)
    teller, other, *_ = panel

    def committing(number: int) -> bytes:
        return court.calls.commit_votes(node, [bytes([number]) * 32] * len(panel)).data

    for number in (1, 1, 2):
        await judgements.relay(world.context, teller, committing(number))
    with pytest.raises(TooMany):
        await judgements.relay(world.context, teller, committing(3))
    await judgements.relay(world.context, other, committing(3))


async def test_votes_are_carried_for_members_of_their_panel_alone(world: World, own_anvil: Anvil) -> None:
    court = Court(own_anvil, world.context.chain)
    await court.seat(8)
    accused = await court.register(Role.MPC_NODE)
    panel = await court.quorum.panel_of(accused.account, await court.next_epoch())
    votes = court.calls.commit_votes(accused.account, [bytes([1]) * 32] * len(panel)).data
    for stranger in (accused.account, *(court.detectors.keys() - set(panel))):
        with pytest.raises(Forbidden, match="member of their panel"):
            await judgements.relay(world.context, stranger, votes)

    upheld = await court.upheld(await court.accusation(accused.account))
    appeal = await court.appealing(upheld.claim_id, upheld.claim, accused)
    await judgements.relay(world.context, accused.account, appeal.data)
    found = await eventually(
        lambda: court.quorum.claim_of(upheld.claim_id), lambda one: one.status is ClaimStatus.APPEALED
    )
    await court.next_epoch()
    second = await court.quorum.appeal_panel_of(upheld.claim_id, upheld.claim)
    reversal = hashes(second, court.reversals(upheld.claim_id, found.epoch, second))
    data = court.calls.commit_reversal(upheld.claim_id, upheld.claim, reversal).data
    with pytest.raises(Forbidden, match="member of their panel"):
        await judgements.relay(world.context, accused.account, data)
    await judgements.relay(world.context, second[0], data)


async def test_nobody_appeals_in_the_name_of_the_coordinator(
    world: World, own_anvil: Anvil, coordinator_signer: Signer
) -> None:
    court = Court(own_anvil, world.context.chain)
    await court.seat(8)
    coordinators = await court.register(Role.MPC_NODE, operator=coordinator_signer)
    await court.next_epoch()
    upheld = await court.upheld(await court.accusation(coordinators.account))
    deadline = (await world.context.chain.head()).timestamp + 3600
    appeal = court.calls.appeal(upheld.claim_id, upheld.claim, bytes(32), deadline, b"")
    with pytest.raises(Malformed, match="sign the appeal"):
        await judgements.relay(world.context, Signer.new().account, appeal.data)


async def test_a_network_without_a_quorum_says_so(world: World) -> None:
    chain = world.context.chain
    addresses = {name: one for name, one in chain.contracts.addresses.items() if name != "DetectorQuorum"}
    async with await ChainClient.connect(
        chain.rpc.endpoint, replace(chain.contracts, addresses=addresses)
    ) as without:
        with pytest.raises(Missing, match="no quorum"):
            await judgements.relay(replace(world.context, chain=without), Signer.new().account, b"")
