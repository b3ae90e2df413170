"""Detectors judge nodes on a real chain: what enough of them uphold, fewer cannot, and another panel reverses."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import combinations

import pytest
from fixtures.chain import Anvil, deploy_contracts
from fixtures.court import GOVERNOR, OF_SEVEN, Court, hashes, stranger

from soterone.chain.ballots import Ballot
from soterone.chain.client import ChainClient
from soterone.chain.deployment import DEVNET
from soterone.chain.errors import RevertedError
from soterone.chain.events import (
    ClaimAppealed,
    ClaimReversed,
    ClaimUpheld,
    EpochOpened,
    PanelSeeded,
    ProfileMeasured,
    ReputationUpdated,
    VotesCommitted,
)
from soterone.chain.records import Contracts
from soterone.crypto.accounts import Signer
from soterone.domain.detection import ClaimStatus, Kind, Measurement
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.profiles import REFERENCE_CORE_SPEED
from soterone.domain.reputation import PENALTIES, HalfLife, Severity, decay
from soterone.domain.roles import Role


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Anvil, Contracts]]:
    """A chain of these tests with production's terms; each test has an epoch of its own."""
    process = Anvil(tmp_path_factory.mktemp("anvil"))
    process.start()
    yield process, Contracts.of(deploy_contracts(process, OF_SEVEN))
    process.stop()


@pytest.fixture(scope="module")
def bench() -> dict[Account, Signer]:
    """Sixteen detectors, seated by the first test that asks."""
    return {}


@pytest.fixture
async def court(city: tuple[Anvil, Contracts], bench: dict[Account, Signer]) -> AsyncIterator[Court]:
    anvil, contracts = city
    async with await ChainClient.connect(anvil.url, contracts) as chain:
        made = Court(anvil, chain, bench)
        if not bench:
            await made.seat()
            bench |= made.detectors
        made.detectors = bench
        yield made


async def test_the_mirror_draws_what_the_contract_draws(court: Court) -> None:
    epoch = await court.next_epoch()
    drawn = await court.quorum.bench_of(epoch)
    assert drawn is not None
    assert (drawn.terms, drawn.seats) == await court.quorum.roster()
    for node in [*(stranger() for _ in range(20)), *court.detectors]:
        operator = await court.chain.operator_of(node)
        assert drawn.panel_on(node, operator) == await court.quorum.panel_of(node, epoch)
    assert await court.quorum.bench_of(epoch + 1) is None
    assert not await court.quorum.is_open(epoch + 1)


async def test_five_of_seven_uphold_and_the_profile_is_announced(court: Court) -> None:
    node = await court.register(Role.MPC_NODE)
    await court.next_epoch()
    accusation = await court.accusation(node.account)
    panel = await court.quorum.panel_of(node.account, accusation.epoch)
    votes = court.votes(accusation, panel[:3], cores=2) | court.votes(accusation, panel[3:5], cores=64)
    committed = await court.commit(accusation, votes)
    assert committed.subject == f"0x{accusation.subject.hex()}"
    await court.next_epoch_begins()
    receipt = await court.payer.send(await court.upholding(accusation, committed, votes, panel))
    events = {type(one).__name__: one for one in court.chain.reading(receipt.logs).events}
    upheld, measured, updated = (
        events[name] for name in ("ClaimUpheld", "ProfileMeasured", "ReputationUpdated")
    )
    assert upheld.claim_id == measured.claim_id == committed.commitment
    assert upheld.claim.accusation == accusation
    assert upheld.claim.signers_among(panel) == panel[:5]
    assert isinstance(measured, ProfileMeasured)
    assert measured.measured == Measurement(2, 4096, REFERENCE_CORE_SPEED)
    assert isinstance(updated, ReputationUpdated)
    assert updated.bad == upheld.claim.added == PENALTIES[Severity.GRAVE]
    assert (await court.quorum.claim_of(committed.commitment)).status is ClaimStatus.UPHELD


async def test_four_of_seven_are_refused(court: Court) -> None:
    node = await court.register(Role.MPC_NODE)
    await court.next_epoch()
    accusation = await court.accusation(node.account)
    panel = await court.quorum.panel_of(node.account, accusation.epoch)
    votes = court.votes(accusation, panel[:4])
    committed = await court.commit(accusation, votes)
    await court.next_epoch_begins()
    with pytest.raises(RevertedError) as refused:
        await court.payer.send(await court.upholding(accusation, committed, votes, panel))
    assert refused.value.name == "DetectorQuorumTooFewVotes"
    assert refused.value.arguments == {"votes": 4, "threshold": 5}
    assert (await court.chain.record_of(node.account))[1] == 0


async def test_two_colluders_condemn_nobody(court: Court) -> None:
    """Whatever two of a panel sign, and whoever else they name as voters, no claim comes of it."""
    node = await court.register(Role.MPC_NODE)
    await court.next_epoch()
    accusation = await court.accusation(node.account)
    panel = await court.quorum.panel_of(node.account, accusation.epoch)
    outsiders = [one for one in court.detectors if one not in panel]
    for pair in list(combinations(panel, 2))[:3]:
        votes = court.votes(accusation, pair)
        forged = votes | {
            member: court.votes(accusation, [outsiders[place]])[outsiders[place]]
            for place, member in enumerate(one for one in panel if one not in pair)
        }
        committed = await court.commit(accusation, forged)
        ballot = Ballot.of(panel, [hash_bytes(one) for one in committed.leaves], forged)
        assert ballot.voters == panel
        honest = Ballot.of(panel, [hash_bytes(one) for one in committed.leaves], votes)
        await court.next_epoch_begins()
        for attempt, error in ((ballot, "NotCommitted"), (honest, "TooFewVotes")):
            with pytest.raises(RevertedError) as refused:
                await court.payer.send(court.calls.uphold(accusation, attempt))
            assert refused.value.name == f"DetectorQuorum{error}"
        await court.next_epoch()
        accusation = await court.accusation(node.account)
        panel = await court.quorum.panel_of(node.account, accusation.epoch)
        outsiders = [one for one in court.detectors if one not in panel]


async def test_two_colluders_protect_nobody(court: Court) -> None:
    """They keep silent, and commit to votes of their own choice before the others do: the five uphold all the same."""
    node = await court.register(Role.MPC_NODE)
    await court.next_epoch()
    accusation = await court.accusation(node.account)
    panel = await court.quorum.panel_of(node.account, accusation.epoch)
    colluders, honest = panel[:2], panel[2:]
    mild = await court.accusation(node.account, Kind.VERSION, Severity.LIGHT)
    await court.commit(accusation, court.votes(mild, colluders))
    votes = court.votes(accusation, honest)
    committed = await court.commit(accusation, votes)
    await court.next_epoch_begins()
    upheld = await court.payer.send(await court.upholding(accusation, committed, votes, panel))
    assert upheld.succeeded
    record = await court.quorum.claim_of(committed.commitment)
    assert record.status is ClaimStatus.UPHELD


async def test_votes_count_in_the_next_epoch_only(court: Court) -> None:
    node = await court.register(Role.MPC_NODE)
    await court.next_epoch()
    accusation = await court.accusation(node.account)
    panel = await court.quorum.panel_of(node.account, accusation.epoch)
    votes = court.votes(accusation, panel[:5])
    committed = await court.commit(accusation, votes)
    call = await court.upholding(accusation, committed, votes, panel)
    with pytest.raises(RevertedError, match="wrong epoch"):
        await court.payer.send(call)
    await court.next_epoch_begins()
    await court.next_epoch_begins()
    with pytest.raises(RevertedError, match="wrong epoch"):
        await court.payer.send(call)


async def test_a_reversal_takes_back_exactly_what_the_claim_added(court: Court) -> None:
    node, settled = await court.register(Role.MPC_NODE), await court.register(Role.MPC_NODE)
    await court.next_epoch()
    first = await court.upheld(await court.accusation(node.account, Kind.VERSION, Severity.LIGHT))
    before = await court.chain.record_of(node.account)
    await court.next_epoch()
    upheld = await court.upheld(await court.accusation(node.account))
    claim_id, claim = upheld.claim_id, upheld.claim
    panel = await court.quorum.panel_of(node.account, claim.accusation.epoch)
    with pytest.raises(RevertedError):
        await court.payer.send(await court.appealing(claim_id, claim, settled))
    appealed = await court.send(await court.appealing(claim_id, claim, node), ClaimAppealed)
    assert await court.next_epoch() == appealed.epoch
    second = await court.quorum.appeal_panel_of(claim_id, claim)
    drawn = await court.quorum.bench_of(appealed.epoch)
    assert drawn is not None
    assert second == drawn.panel_on_appeal(claim_id, node.account, node.account, panel)
    votes = court.reversals(claim_id, appealed.epoch, second[:5])
    call = court.calls.commit_reversal(claim_id, claim, hashes(second, votes))
    committed = await court.send(call, VotesCommitted)
    await court.next_epoch_begins()
    leaves = [hash_bytes(one) for one in committed.leaves]
    few = Ballot.of(second, leaves, dict(list(votes.items())[:4]))
    with pytest.raises(RevertedError, match="too few votes"):
        await court.payer.send(court.calls.reverse(claim_id, claim, few))
    whole = Ballot.of(second, leaves, votes)
    reversed_ = await court.send(court.calls.reverse(claim_id, claim, whole), ClaimReversed)
    assert reversed_.commitment == committed.commitment
    after = await court.chain.record_of(node.account)
    assert claim.added == PENALTIES[Severity.GRAVE]
    elapsed = after[2] - before[2]
    assert abs(after[1] - decay(before[1], elapsed, HalfLife.BAD)) <= (3 if elapsed else 0)
    assert (await court.quorum.claim_of(claim_id)).status is ClaimStatus.REVERSED
    assert (await court.quorum.claim_of(first.claim_id)).status is ClaimStatus.UPHELD
    for accuser in claim.signers_among(panel):
        assert (await court.chain.record_of(accuser))[1] >= PENALTIES[Severity.LIGHT]


async def test_a_removed_detector_votes_no_more(court: Court) -> None:
    node = await court.register(Role.MPC_NODE)
    spare = await court.register(Role.DETECTOR)
    court.detectors[spare.account] = spare
    await court.next_epoch()
    gone = next(one for one in court.detectors if one != spare.account)
    await court.rotate([gone], [spare.account])
    _, seats = await court.quorum.roster()
    assert gone not in [one.detector for one in seats]
    assert spare.account in [one.detector for one in seats]
    await court.next_epoch()
    drawn = await court.quorum.panel_of(node.account, await court.quorum.present_epoch())
    assert gone not in drawn
    del court.detectors[gone]


async def test_a_vote_of_a_removed_detector_voids_no_ballot(court: Court) -> None:
    spare = await court.register(Role.DETECTOR)
    gone = next(iter(court.detectors))
    await court.propose([gone], [spare.account])
    await court.next_epoch()
    panel: tuple[Account, ...] = ()
    while gone not in panel:
        accusation = await court.accusation((await court.register(Role.MPC_NODE)).account)
        panel = await court.quorum.panel_of(accusation.node, accusation.epoch)
    votes = court.votes(accusation, [gone, *[one for one in panel if one != gone][:5]])
    committed = await court.commit(accusation, votes)
    await court.rotate([gone], [spare.account])
    del court.detectors[gone]
    court.detectors[spare.account] = spare
    await court.next_epoch_begins()
    with pytest.raises(RevertedError) as refused:
        await court.payer.send(await court.upholding(accusation, committed, votes, panel))
    assert refused.value.name == "DetectorQuorumNotSeated"
    seated = await court.quorum.still_seated(votes)
    upheld = await court.send(await court.upholding(accusation, committed, seated, panel), ClaimUpheld)
    assert set(upheld.claim.signers_among(panel)) == votes.keys() - {gone}


async def test_too_few_seats_make_no_panels_and_break_nothing(own_anvil: Anvil) -> None:
    contracts = Contracts.of(deploy_contracts(own_anvil, DEVNET))
    async with await ChainClient.connect(own_anvil.url, contracts) as chain:
        court = Court(own_anvil, chain)
        node = await court.register(Role.MPC_NODE)
        assert not await court.quorum.has_panels()
        with pytest.raises(RevertedError) as refused:
            await court.payer.send(court.calls.open_epoch())
        assert refused.value.name == "DetectorQuorumTooFewSeats"
        assert refused.value.arguments == {"seats": 0, "needed": 7}
        epoch = await court.quorum.present_epoch()
        assert await court.quorum.bench_of(epoch) is None
        with pytest.raises(RevertedError, match="not seeded"):
            await court.quorum.panel_of(node.account, epoch)
        assert (await court.quorum.suspension_of(node.account)).claims == 0


async def test_a_small_network_judges_with_two_of_three(own_anvil: Anvil) -> None:
    small = replace(DEVNET, governor=GOVERNOR.account, detector_epoch_seconds=3600)
    contracts = Contracts.of(deploy_contracts(own_anvil, small))
    async with await ChainClient.connect(own_anvil.url, contracts) as chain:
        court = Court(own_anvil, chain)
        await court.seat(8)
        assert await court.quorum.has_panels()
        node = await court.register(Role.MPC_NODE)
        await court.next_epoch()
        upheld = await court.upheld(await court.accusation(node.account))
        assert upheld.claim.signers == 0b011


async def test_an_epoch_is_opened_once_and_seeded_by_a_later_block(court: Court) -> None:
    court.pass_time(await court.quorum.epoch_seconds())
    opened = await court.send(court.calls.open_epoch(), EpochOpened)
    assert opened.seed_block == opened.position.block_number + 2
    with pytest.raises(RevertedError, match="epoch open"):
        await court.payer.send(court.calls.open_epoch())
    with pytest.raises(RevertedError, match="seed not mined"):
        await court.payer.send(court.calls.seed_epoch(opened.epoch))
    court.anvil.rpc("anvil_mine", "0x3")
    seeded = await court.send(court.calls.seed_epoch(opened.epoch), PanelSeeded)
    block = await court.chain.block(opened.seed_block)
    assert block is not None
    assert seeded.seed == int(block.hash, 16) % 2**80
