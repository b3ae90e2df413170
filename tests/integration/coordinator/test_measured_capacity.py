"""A node that declares more than it has: once detectors upheld it, the coordinator plans with what they measured."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.chain import Anvil, deploy_contracts
from fixtures.court import GOVERNOR, Court, hashes
from fixtures.database import sqlite_url
from fixtures.query_world import PROFILE, World, eventually, open_world

from coordinator.app import create_app
from coordinator.catalog import service as catalog
from coordinator.claims import list_claims
from coordinator.database import Database
from coordinator.health import Health
from coordinator.queries.selection import standings
from coordinator.resources import repository, service
from coordinator.resources.demand import Demand
from soterone.chain.ballots import Ballot
from soterone.chain.client import ChainClient
from soterone.chain.deployment import DEVNET
from soterone.chain.events import ClaimReversed, VotesCommitted
from soterone.chain.records import Contracts
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.profiles import REFERENCE_CORE_SPEED, NodeProfile
from soterone.domain.roles import Role
from soterone.rest.catalog import ClaimView, NodeEntry

BOAST = PROFILE.model_copy(update={"cpu_cores": 16})
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


@pytest.fixture
async def court(own_anvil: Anvil, world: World) -> Court:
    made = Court(own_anvil, world.context.chain)
    await made.seat(8)
    return made


async def join(world: World, profile: NodeProfile = BOAST) -> Account:
    node = (await world.add_node(Role.MPC_NODE, profile=profile)).account
    await eventually(lambda: world.context.chain.node_of(node), lambda found: found.roles != 0)
    return node


async def capacity(world: World, node: Account) -> Demand:
    async with world.database.transaction() as session:
        return (await repository.lock_capacities(session, [node]))[node]


async def has_room(world: World, node: Account, cores: int) -> bool:
    async with world.database.transaction() as session:
        return await service.with_room(session, [node], Demand(cores, 1, 1)) == [node]


async def preferred(world: World, *nodes: Account) -> list[list[str]]:
    async with world.database.transaction() as session:
        return await service.preferred(session, [*nodes])


async def entry(world: World, node: Account) -> NodeEntry:
    page = await catalog.node_page(world.context, Role.MPC_NODE, online_only=False, after="", limit=50)
    return next(one for one in page.nodes if one.account == node)


async def claim(world: World, node: Account) -> ClaimView:
    (found,) = (await list_claims(world.context, node)).claims
    return found


async def test_a_false_profile_lowers_the_capacity_until_it_is_reversed(world: World, court: Court) -> None:
    liar, honest = await join(world), await join(world)
    await court.next_epoch()
    assert await has_room(world, liar, 16)
    assert await preferred(world, liar, honest) == [[liar, honest]] * 2
    upheld = await court.upheld(await court.accusation(liar), cores=2)

    measured = await eventually(lambda: capacity(world, liar), lambda found: found.cpu_cores == 2)
    assert measured.memory_bytes == 4096 * 2**20
    assert measured.disk_bytes == BOAST.disk_bytes
    assert (await capacity(world, honest)).cpu_cores == 16
    assert await has_room(world, liar, 2)
    assert not await has_room(world, liar, 3)
    assert await preferred(world, liar, honest) == [[honest]] * 2
    await world.burden([honest], 64.0)
    assert await preferred(world, liar, honest) == [[], [honest]]
    await world.burden([honest], 0.0)
    shown = await entry(world, liar)
    assert (shown.cpu_cores, shown.verified_cpu_cores, shown.measured_in) == (16, 2, upheld.claim_id)
    assert shown.verified_memory_bytes == 4096 * 2**20 < shown.memory_bytes
    assert (await entry(world, honest)).measured_in is None
    told = await claim(world, liar)
    assert (told.status, told.measured_cpu_cores, told.kind, told.severity) == ("upheld", 2, 2, 2)
    assert (told.added, told.signers) == (upheld.claim.added, upheld.claim.signers)
    standing = await standings(world.context.chain, [liar, honest])
    assert standing[liar].lower_bound < standing[honest].lower_bound
    assert standing[honest].newcomer
    assert not standing[liar].newcomer

    appeal = await court.appealing(upheld.claim_id, upheld.claim, world.nodes[liar])
    await court.payer.send(appeal)
    epoch = await court.next_epoch()
    await eventually(lambda: claim(world, liar), lambda found: found.appeal_epoch == epoch)
    panel = await court.quorum.appeal_panel_of(upheld.claim_id, upheld.claim)
    votes = court.reversals(upheld.claim_id, epoch, panel[:2])
    committing = court.calls.commit_reversal(upheld.claim_id, upheld.claim, hashes(panel, votes))
    committed = await court.send(committing, VotesCommitted)
    await court.next_epoch_begins()
    ballot = Ballot.of(panel, [hash_bytes(one) for one in committed.leaves], votes)
    await court.send(court.calls.reverse(upheld.claim_id, upheld.claim, ballot), ClaimReversed)
    await eventually(lambda: capacity(world, liar), lambda found: found.cpu_cores == 16)
    assert (await claim(world, liar)).status == "reversed"
    assert await preferred(world, liar, honest) == [[liar, honest]] * 2
    assert (await entry(world, liar)).measured_in is None


async def test_a_liar_is_proposed_only_where_others_are_not_to_be_had(world: World, court: Court) -> None:
    """Busy machines leave no gap for it: a load is no lie."""
    await world.populate(mpcs=3)
    busy = set(world.nodes) - {one.account for one in world.owners}
    await world.burden(busy, 64.0)
    liar = await join(world)
    await court.next_epoch()
    await court.upheld(await court.accusation(liar), cores=8)
    await eventually(lambda: capacity(world, liar), lambda found: found.cpu_cores == 8)
    for _ in range(3):
        assert {*(await world.propose()).order.mpcs} == busy
    await world.disconnect(min(busy))
    assert liar in (await world.propose()).order.mpcs


async def test_slow_cores_are_planned_with_for_what_they_do(world: World) -> None:
    eighth = BOAST.model_copy(update={"core_speed": REFERENCE_CORE_SPEED // 8})
    fast = BOAST.model_copy(update={"core_speed": 8 * REFERENCE_CORE_SPEED})
    slow, quick = await join(world, eighth), await join(world, fast)
    assert (await capacity(world, slow)).cpu_cores == (await entry(world, slow)).verified_cpu_cores == 2
    assert (await capacity(world, quick)).cpu_cores == (await entry(world, quick)).verified_cpu_cores == 16
    assert (await entry(world, slow)).cpu_cores == 16
    assert await has_room(world, slow, 2)
    assert not await has_room(world, slow, 3)


async def test_a_reorganisation_takes_a_measurement_away(
    world: World, court: Court, own_anvil: Anvil
) -> None:
    liar = await join(world)
    await court.next_epoch()
    await court.upheld(await court.accusation(liar), cores=2)
    await eventually(lambda: capacity(world, liar), lambda found: found.cpu_cores == 2)
    own_anvil.rpc("anvil_reorg", 1, [])
    await eventually(lambda: capacity(world, liar), lambda found: found.cpu_cores == 16)
    assert (await list_claims(world.context, liar)).claims == []


async def test_without_detectors_everything_goes_on(world: World) -> None:
    """A network of too few seats opens no epoch; queries run as ever, and nodes are taken at their word."""
    await world.populate(mpcs=3)
    proposal = await world.propose()
    await world.launch(proposal)
    assert (await world.run_to_the_end(proposal)).status == "completed"
    for node in proposal.order.mpcs:
        assert (await entry(world, Account(node))).measured_in is None
    assert "/v1/reputation/{account}/claims" in create_app(world.context, Health()).openapi()["paths"]
