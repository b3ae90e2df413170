"""An account's reputation by REST and SDK: what the views say, and the history page after page."""

import asyncio
from pathlib import Path

import pytest
from fixtures.live_coordinator import LiveCoordinator

from coordinator.chain.log_rows import log_of
from soterone.chain.events import ClaimAppealed, ClaimUpheld, LogPosition, NodeSuspended, ProfileMeasured
from soterone.cli.catalog import _claim_row
from soterone.client.customer import Customer
from soterone.client.errors import ClientError
from soterone.crypto.accounts import Signer
from soterone.domain.detection import Accusation, Claim, Kind, Measurement
from soterone.domain.ids import Account, hash32
from soterone.domain.reputation import PRIOR_SCORE, Severity
from soterone.rest.catalog import ClaimView, ReputationStep

CLAIM = hash32(b"\7" * 32)
SUSPENSIONS = 250


@pytest.fixture
def empty_database_url(tmp_path: Path) -> str:
    """Pages are tested on both databases elsewhere: one is enough for the wire."""
    return f"sqlite+aiosqlite:///{tmp_path / 'empty.sqlite'}"


async def suspend(live: LiveCoordinator, node: Account) -> None:
    """Write down that a node was suspended and readmitted again and again, twice a block."""
    async with live.database.transaction() as session:
        for number in range(SUSPENSIONS):
            block = hash32(number.to_bytes(32))
            position = LogPosition(31337, number // 2, number % 2, block, block)
            session.add(log_of(NodeSuspended(position, node, number % 2 == 0), 1_000 + number // 2))


async def test_the_sdk_reads_page_after_page(live: LiveCoordinator, tmp_path: Path) -> None:
    node = Signer.new().account
    await suspend(live, node)

    def read() -> tuple[list[ReputationStep], list[ReputationStep]]:
        ca_file = live.settings.data_dir / "ca.pem"
        rpc = live.settings.chain_rpc
        with Customer.connect(live.addresses["rest"], Signer.new(), rpc, ca_file, tmp_path) as customer:
            view = customer.reputation(node, limit=3)
            standing = customer.confirm_reputation(node, view)
            assert (standing.block.number, standing.epoch) == (view.block, view.epoch)
            assert (view.status, view.score, view.credibility) == ("none", PRIOR_SCORE, PRIOR_SCORE)
            assert (view.expectation, view.tenure_cap) == (standing.expectation, standing.tenure_cap)
            assert customer.ledger.history_of(node) == ()
            return list(customer.reputation_history(node)), view.history

    steps, first = await asyncio.to_thread(read)
    assert [step.block for step in steps] == [number // 2 for number in reversed(range(SUSPENSIONS))]
    assert {step.cause for step in steps[::2]} == {"readmitted"}
    assert {step.cause for step in steps[1::2]} == {"suspended"}
    assert first == steps[:3]


async def test_a_standing_that_the_chain_does_not_give_is_refused(
    live: LiveCoordinator, tmp_path: Path
) -> None:
    node, other = Signer.new().account, Signer.new().account

    def refused(**lie: object) -> str:
        with Customer.connect(
            live.addresses["rest"],
            Signer.new(),
            live.settings.chain_rpc,
            live.settings.data_dir / "ca.pem",
            tmp_path,
        ) as customer:
            view = customer.reputation(node)
            with pytest.raises(ClientError) as caught:
                customer.confirm_reputation(node, view.model_copy(update=lie))
            return f"{type(caught.value).__name__}: {caught.value}"

    raised = await asyncio.to_thread(refused, score=999_999_999)
    assert raised.startswith("Untrustworthy: ")
    assert f"score 999999999, the chain gives {PRIOR_SCORE}" in raised
    assert f"account {other}, the chain gives {node}" in await asyncio.to_thread(refused, account=other)
    assert (await asyncio.to_thread(refused, block=10**9)).startswith("Unreachable: ")


async def test_the_sdk_reads_claims(live: LiveCoordinator, tmp_path: Path) -> None:
    node, block = Signer.new().account, hash32(bytes(32))
    accusation = Accusation(node, node, 7, Kind.PROFILE, Severity.GRAVE)
    claim = Claim(accusation, signers=0b011, added=8_000_000_000, ledger_epoch=1)
    events = (
        ClaimUpheld(LogPosition(31337, 1, 0, block, block), CLAIM, node, claim),
        ProfileMeasured(LogPosition(31337, 1, 1, block, block), CLAIM, node, Measurement(2, 4096, 700)),
        ClaimAppealed(LogPosition(31337, 2, 2, block, block), CLAIM, node, hash32(bytes(32)), 9),
    )
    async with live.database.transaction() as session:
        session.add_all(log_of(event, 1_000) for event in events)

    def read() -> list[ClaimView]:
        ca_file = live.settings.data_dir / "ca.pem"
        rpc = live.settings.chain_rpc
        with Customer.connect(live.addresses["rest"], Signer.new(), rpc, ca_file, tmp_path) as customer:
            assert customer.claims(Signer.new().account) == []
            return customer.claims(node)

    (told,) = await asyncio.to_thread(read)
    assert (told.claim_id, told.node, told.kind, told.severity) == (CLAIM, node, Kind.PROFILE, Severity.GRAVE)
    assert (told.status, told.appeal_epoch, told.measured_cpu_cores) == ("appealed", 9, 2)
    assert _claim_row(told) == (
        CLAIM, "profile", "2", "7", "appealed, heard in epoch 9", "2 cores, 4096 MiB", "8.000",
    )  # fmt: skip


@pytest.mark.parametrize("wrong", ["limit=0", "limit=501", "before=7", "before=1-2-3", "before=1%27--"])
async def test_bad_pages_are_problems(live: LiveCoordinator, wrong: str) -> None:
    async with live.rest() as web:
        answer = await web.get(f"/v1/reputation/{Signer.new().account}?{wrong}")
    assert answer.status_code == 422
    assert answer.json()["title"] == "Malformed request"
