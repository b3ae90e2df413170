"""The audit of detectors: panels drawn again, votes counted again, and lies about them caught."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from audits import (
    Lie,
    audit_through,
    changed_logs,
    complaints,
    complaints_about,
    complaints_of,
    network,
    notes_of,
    standing_told,
)
from eth_utils import keccak
from fixtures.chain import Anvil, deploy_contracts
from fixtures.court import GOVERNOR, PAYER, Court, hashes
from nodes import mined
from sending import grant_suspender, suspension

from soterone.audit.asking import Told
from soterone.audit.auditor import Request, audit, run_audit
from soterone.audit.trail import TRAIL_BLOCKS
from soterone.chain.ballots import Ballot
from soterone.chain.calls import Call, CallBuilder
from soterone.chain.claim_history import claims_of, measured_by
from soterone.chain.client import ChainClient
from soterone.chain.codec import encode_call, event_codecs
from soterone.chain.deployment import DEVNET
from soterone.chain.events import ClaimAppealed, ClaimFinal, ClaimReversed, ClaimUpheld, VotesCommitted
from soterone.chain.governance import GovernanceCalls, Governor
from soterone.chain.records import Contracts
from soterone.crypto.messages import Domain, Unregistration, sign
from soterone.domain.detection import Kind
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.reputation import Severity
from soterone.domain.roles import Role
from soterone.rest.catalog import ClaimView, NodeEntry, ReputationView

REGISTERED = next(topic for topic, codec in event_codecs().items() if codec.name == "NodeRegistered")
SMALL = replace(DEVNET, governor=GOVERNOR.account, detector_epoch_seconds=3600, severities=0x03333330)


@dataclass(frozen=True, slots=True)
class City:
    """A chain on which detectors have judged: `condemned` lost a claim for good, `cleared` won its appeal."""

    anvil: Anvil
    contracts: Contracts
    condemned: Account
    cleared: Account


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    process = Anvil(tmp_path_factory.mktemp("anvil"))
    process.start()
    contracts = Contracts.of(deploy_contracts(process, SMALL))
    yield City(process, contracts, *asyncio.run(judged(process, contracts)))
    process.stop()


@pytest_asyncio.fixture
async def chain(city: City) -> AsyncIterator[ChainClient]:
    async with await ChainClient.connect(city.anvil.url, city.contracts, timeout_seconds=120) as client:
        yield client


async def judged(anvil: Anvil, contracts: Contracts) -> tuple[Account, Account]:
    """A claim about a profile that becomes final, and one that suspends and is reversed."""
    async with await ChainClient.connect(anvil.url, contracts, timeout_seconds=120) as chain:
        court = Court(anvil, chain)
        await court.seat(9)
        condemned, cleared = await court.register(Role.MPC_NODE), await court.register(Role.MPC_NODE)
        await court.next_epoch()
        first = await court.upheld(await court.accusation(condemned.account))
        await court.next_epoch()
        second = await court.upheld(
            await court.accusation(cleared.account, Kind.DATASET, Severity.CRITICAL), cores=0
        )
        await court.send(await court.appealing(second.claim_id, second.claim, cleared), ClaimAppealed)
        await court.next_epoch()
        await reversal(court, second)
        for _ in range(SMALL.appeal_epochs + 1):
            court.pass_time(3600)
        await court.send(court.calls.finalise(first.claim_id, first.claim), ClaimFinal)
        return condemned.account, cleared.account


async def reversal(court: Court, upheld: ClaimUpheld) -> None:
    epoch = await court.quorum.present_epoch()
    panel = await court.quorum.appeal_panel_of(upheld.claim_id, upheld.claim)
    votes = court.reversals(upheld.claim_id, epoch, panel[:2])
    call = court.calls.commit_reversal(upheld.claim_id, upheld.claim, hashes(panel, votes))
    committed = await court.send(call, VotesCommitted)
    await court.next_epoch_begins()
    ballot = Ballot.of(panel, [hash_bytes(one) for one in committed.leaves], votes)
    await court.send(court.calls.reverse(upheld.claim_id, upheld.claim, ballot), ClaimReversed)


async def test_honest_detectors_agree_with_their_panels(chain: ChainClient, city: City) -> None:
    report = await audit(chain)
    assert report.ok, complaints(report)
    examined = {check.name: check.examined for check in report.checks}
    assert examined["draws repeat from their seeds"] == 3
    assert "events say what was signed and sent" not in notes_of(report)
    enlisted, terms, claims, reversed_, final = 9, 1, 2, 2, 1
    epochs, votes, readmitted, measured = 3 * 2, 3, 1, 0
    told = enlisted + terms + claims + reversed_ + final + epochs + votes + readmitted + measured
    assert examined["detectors judged by the rules"] == told


async def test_an_rpc_that_leaves_a_nodes_whole_past_out_is_caught(chain: ChainClient, city: City) -> None:
    """All but the registration, so that nothing shown contradicts anything."""
    head = await chain.head()
    about = f"0x{city.condemned[2:].lower():0>64}"
    claims = {
        one.claim_id
        for one in await chain.events_between(0, head.number)
        if isinstance(one, ClaimUpheld) and one.node == city.condemned
    }

    def told(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            log for log in logs if log["topics"][0] == REGISTERED or not {about, *claims} & set(log["topics"])
        ]

    report = await audit_through({"eth_getLogs": told}, chain, Request(pinned=head.hash))
    found = complaints(report)
    assert f"for the record of {city.condemned}, its events give 0x0" in found
    assert f"for the docket of {city.condemned}, its events give 0x0" in found


async def test_seats_that_an_rpc_keeps_back_are_caught_before_anybody_judges(
    chain: ChainClient, city: City
) -> None:
    snapshot = city.anvil.rpc("evm_snapshot")
    court = Court(city.anvil, chain)
    try:
        await court.seat(1)
        assert (await audit(chain)).ok
        (late,) = court.detectors
        hidden = changed_logs(
            "DetectorEnlisted", lambda log: None if late[2:].lower() in log["topics"][1] else log
        )
        report = await audit_through(hidden, chain, Request(pinned=(await chain.head()).hash))
    finally:
        city.anvil.rpc("evm_revert", snapshot)
    assert complaints(report) == (
        "the next epoch will be opened with other seats or terms than were announced"
    )


def word(log: dict[str, Any], place: int, value: int) -> dict[str, Any]:
    """A log with another word at a place of its data."""
    start = 2 + 64 * place
    return {**log, "data": f"{log['data'][:start]}{value:064x}{log['data'][start + 64 :]}"}


def flipped(log: dict[str, Any]) -> dict[str, Any]:
    """A log whose last bit is another."""
    return {**log, "data": f"{log['data'][:-1]}{int(log['data'][-1], 16) ^ 1:x}"}


def retold(log: dict[str, Any], topic: int, value: str) -> dict[str, Any]:
    return {**log, "topics": [value if place == topic else one for place, one in enumerate(log["topics"])]}


@pytest.mark.parametrize(
    ("lie", "complaint"),
    [
        (changed_logs("PanelSeeded", flipped), "was seeded by"),
        (changed_logs("EpochOpened", lambda log: word(log, 1, 3)), "the seed of another block"),
        (changed_logs("EpochOpened", lambda log: word(log, 0, 7)), "with other seats or terms"),
        (changed_logs("VotesCommitted", flipped), "are not those that their commitment names"),
        (changed_logs("VotesCommitted", lambda log: None), "by votes that were never committed"),
        (changed_logs("ClaimUpheld", lambda log: word(log, 5, 1)), "was upheld by 1 votes, 2 are needed"),
        (changed_logs("ClaimUpheld", lambda log: word(log, 5, 9)), "was signed from outside the panel"),
        (changed_logs("ClaimUpheld", lambda log: word(log, 4, 1)), "says that it added"),
        (changed_logs("ClaimUpheld", lambda log: None), "without an upheld claim"),
        (changed_logs("ProfileMeasured", flipped), "as measured, its votes give"),
        (changed_logs("ClaimReversed", lambda log: None), "without a reversed claim"),
        (changed_logs("PenaltyReversed", lambda log: None), "was not taken back"),
        (changed_logs("ClaimAppealed", lambda log: word(log, 1, 1)), "out of time"),
        (changed_logs("DetectorEnlisted", lambda log: None), "was opened with 0 seats"),
        (changed_logs("TermsChanged", lambda log: word(log, 1, 3)), "was upheld by 2 votes, 3 are needed"),
        (
            changed_logs("NodeReadmitted", lambda log: retold(log, 1, f"0x{'00' * 12}{'5' * 40}")),
            "does not announce",
        ),
    ],
    ids=lambda one: one.replace(" ", "-") if isinstance(one, str) else "",
)
async def test_lies_about_detectors_are_caught(
    chain: ChainClient, lie: dict[str, Lie], complaint: str
) -> None:
    assert complaint in complaints(await audit_through(lie, chain))


async def told_of(
    chain: ChainClient, node: Account, cores: int
) -> tuple[NodeEntry, ReputationView, tuple[ClaimView, ...]]:
    """What an honest coordinator tells of a node that declares so many cores."""
    entry, view = await standing_told(chain, node)
    head = await chain.head()
    events = await chain.events_about([node], chain.contracts.start_block, head.number)
    blocks = await chain.blocks([one.position.block_number for one in events])
    claims = claims_of(events, {block.number: block.timestamp for block in blocks if block})
    entry = entry.model_copy(update={"cpu_cores": cores, "memory_bytes": 2**40})
    measured = measured_by(claims)
    verified = {
        "verified_cpu_cores": measured.measurement.cores if measured else cores,
        "verified_memory_bytes": measured.measurement.memory_bytes if measured else 2**40,
        "measured_in": measured.claim_id if measured else None,
    }
    return entry.model_copy(update=verified), view, tuple(ClaimView.of(one) for one in reversed(claims))


@pytest.mark.parametrize(
    ("entry_lie", "claim_lie", "complaint"),
    [
        ({}, {}, ""),
        ({"verified_cpu_cores": 16}, {}, "says verified capacity (cores, bytes, by claim) (16, "),
        ({"measured_in": None}, {}, "None), the chain gives (2, 4294967296, '0x"),
        ({}, {"status": "reversed"}, "the coordinator says status reversed, the chain gives final"),
        ({}, {"added": 7}, "the coordinator says added 7, the chain gives 8000000000"),
        ({}, {"measured_cpu_cores": 16}, "the coordinator says measured_cpu_cores 16, the chain gives 2"),
        ({}, {"signers": 0}, "the coordinator says signers 0, the chain gives 3"),
        ({}, {"claim_id": f"0x{'9' * 64}"}, "the coordinator shows it, the chain has no such claim"),
        ({}, {"claim_id": f"0x{'9' * 64}"}, "the coordinator keeps back claim 0x"),
        ({}, None, "the coordinator keeps back claim 0x"),
    ],
    ids=[
        "truth", "capacity", "measured in", "status", "added", "measured", "signers", "invented", "replaced", "silence",
    ],
)  # fmt: skip
async def test_a_false_word_about_a_claim_or_a_measurement_is_named(
    chain: ChainClient,
    city: City,
    entry_lie: dict[str, object],
    claim_lie: dict[str, object] | None,
    complaint: str,
) -> None:
    city.anvil.rpc("anvil_mine", "0x40")
    head = await chain.head()
    entry, view, claims = await told_of(chain, city.condemned, 16)
    shown = () if claim_lie is None else tuple(one.model_copy(update=claim_lie) for one in claims)
    *_, cleared = await told_of(chain, city.cleared, 16)
    told = Told(
        head.number,
        network(chain),
        (entry.model_copy(update=entry_lie),),
        (view,),
        (),
        {city.condemned: shown, city.cleared: cleared},
    )
    found = await complaints_about(chain, told)
    assert complaint in found
    assert bool(found) == bool(complaint)


async def test_a_coordinator_may_be_some_blocks_behind(chain: ChainClient, city: City) -> None:
    """What it told before the last blocks is believed: the claim was upheld, and is final since."""
    entry, view, claims = await told_of(chain, city.condemned, 16)
    (claim,) = claims
    head = await chain.head()
    earlier = tuple(one.model_copy(update={"status": "upheld"}) for one in claims)
    *_, cleared = await told_of(chain, city.cleared, 16)
    told = Told(
        claim.block, network(chain), (entry,), (view,), (), {city.condemned: earlier, city.cleared: cleared}
    )
    assert await complaints_about(chain, told) == ""
    assert "says status upheld" in await complaints_about(chain, replace(told, asked_at=head.number))


async def test_a_penalty_that_no_panel_imposed_is_caught(chain: ChainClient, city: City) -> None:
    """The governor may give somebody the key to the ledger; who uses it does not go unseen."""
    snapshot = city.anvil.rpc("evm_snapshot")
    court, governance = Court(city.anvil, chain), GovernanceCalls(city.contracts.addresses)
    change = governance.grant("ReputationLedger", keccak(text="PENALTY_ROLE"), PAYER.account)
    data = encode_call("ReputationLedger", "penalise", city.condemned, 2)
    penalty = Call(city.contracts.addresses["ReputationLedger"], data, "penalise")
    try:
        delay_seconds = await Governor(chain).delay_seconds()
        await court.governing.send(governance.propose(change, delay_seconds))
        court.pass_time(delay_seconds)
        await court.payer.send(governance.carry_out(change))
        await court.payer.send(penalty)
        report = await audit(chain)
    finally:
        city.anvil.rpc("evm_revert", snapshot)
    assert f"{city.condemned} was penalised by severity 2 without an upheld claim" in complaints(report)


async def test_suspensions_past_the_detectors_are_caught(chain: ChainClient, city: City) -> None:
    """Also those that were taken back by the time of the audit, so that nothing is left of them."""
    snapshot = city.anvil.rpc("evm_snapshot")
    try:
        grant_suspender(city.anvil, chain, PAYER)
        for suspended in (True, False):
            await mined(chain, PAYER, suspension(chain, city.condemned, suspended))
        report = await audit(chain)
    finally:
        city.anvil.rpc("evm_revert", snapshot)
    assert complaints_of(report, "registrations follow each other").splitlines() == [
        f"{city.condemned} was suspended without a claim",
        f"{city.condemned} was readmitted past the detectors",
    ]


async def test_votes_are_judged_by_what_stood_when_they_were_cast_also_behind_a_checkpoint(
    own_anvil: Anvil,
) -> None:
    contracts = Contracts.of(deploy_contracts(own_anvil, SMALL))
    async with await ChainClient.connect(own_anvil.url, contracts, timeout_seconds=120) as chain:
        court = Court(own_anvil, chain)
        await court.seat(9)
        accused = await court.register(Role.MPC_NODE)
        panel = await court.quorum.panel_of(accused.account, await court.next_epoch())
        accusation = await court.accusation(accused.account)
        votes = court.votes(accusation, panel)
        committed = await court.commit(accusation, votes)
        left = Unregistration(accused.account, 1, (await chain.head()).timestamp + 3600)
        domain = Domain(contracts.chain_id, contracts.addresses["NodeRegistry"])
        await court.payer.send(CallBuilder(contracts.addresses).unregister(left, sign(accused, domain, left)))
        own_anvil.rpc("anvil_mine", hex(TRAIL_BLOCKS + 1))
        first = await run_audit(chain, Request())
        assert first.checkpoint is not None, complaints(first.report)
        await court.next_epoch_begins()
        upheld = await court.send(await court.upholding(accusation, committed, votes, panel), ClaimUpheld)
        silent = {"eth_getLogs": lambda logs: []}
        before = first.checkpoint.model_copy(deep=True)
        kept_back = await audit_through(silent, chain, Request(checkpoint=before))
        assert f"for claim or votes {upheld.claim_id}, its events give" in complaints(kept_back)
        second = await run_audit(chain, Request(checkpoint=first.checkpoint))
        assert second.report.ok, complaints(second.report)
        await court.send(await court.appealing(upheld.claim_id, upheld.claim, accused), ClaimAppealed)
        kept_back = await audit_through(silent, chain, Request(checkpoint=second.checkpoint))
        assert f"for claim or votes {upheld.claim_id}, its events give" in complaints(kept_back)
