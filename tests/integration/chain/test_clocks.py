"""A chain whose time is ten minutes off from that of coordinator, nodes and customer: nothing breaks for it."""

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from fixtures.chain import Anvil, deploy_contracts
from fixtures.database import sqlite_url
from fixtures.query_world import World, eventually, open_world

from coordinator.database import Database
from coordinator.queries import service
from node_agent.engines.link_identity import new_link_identity
from scripts.devnet.anvil import INTERVAL_MINING
from soterone.chain.calls import CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.records import Contracts
from soterone.client.orders import LONGEST_DEADLINE_SECONDS, check_order
from soterone.crypto.accounts import Signer
from soterone.crypto.certificates import (
    CertificateAuthority,
    certificate_request,
    check_validity,
    new_tls_key,
)
from soterone.crypto.messages import Feedback, Unregistration, sign
from soterone.domain.deadlines import signature_deadline
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.rest.queries import FeedbackRequest

OFF_SECONDS = 600


@pytest.fixture(params=[-OFF_SECONDS, OFF_SECONDS])
def shifted_anvil(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Anvil]:
    """A chain whose clock is ten minutes behind, or ahead of, everybody else's."""
    process = Anvil(tmp_path, "--timestamp", str(int(time.time()) + request.param), *INTERVAL_MINING)
    process.start()
    yield process
    process.stop()


@pytest.fixture
async def world(shifted_anvil: Anvil, coordinator_signer: Signer, tmp_path: Path) -> AsyncIterator[World]:
    contracts = Contracts.of(deploy_contracts(shifted_anvil))
    async with (
        await ChainClient.connect(shifted_anvil.url, contracts) as chain,
        Database(sqlite_url(tmp_path)) as database,
        open_world(database, chain, coordinator_signer, tmp_path) as opened,
    ):
        await opened.populate(mpcs=3)
        yield opened


async def test_a_query_runs_from_order_to_feedback(world: World) -> None:
    chain = world.context.chain
    head = await chain.head()
    assert abs(head.timestamp - time.time()) > OFF_SECONDS / 2
    proposal = await world.propose()
    assert head.timestamp < proposal.order.deadline < head.timestamp + LONGEST_DEADLINE_SECONDS
    owners = {one.account for one in world.owners}
    order = check_order(
        world.request(), proposal, owners, world.customer.account, QueryId(proposal.query_id), head.timestamp
    )
    assert order.deadline == proposal.order.deadline
    await world.launch(proposal)
    await world.run_to_the_end(proposal)
    await world.clean(proposal)
    await eventually(lambda: world.kinds(proposal.query_id), lambda kinds: "settled" in kinds)
    await rate(world, proposal.query_id, Account(proposal.order.mpcs[0]))
    await eventually(lambda: world.kinds(proposal.query_id), lambda kinds: "feedback-given" in kinds)


async def rate(world: World, query_id: str, node: Account) -> None:
    deadline = signature_deadline(time.time(), (await world.context.chain.head()).timestamp)
    message = Feedback(hash_bytes(query_id), (node,), (90,), deadline)
    signature = sign(world.customer, world.context.domain("ReputationLedger"), message)
    request = FeedbackRequest(nodes=[node], ratings=[90], deadline=deadline, signature=f"0x{signature.hex()}")
    await service.give_feedback(world.context, world.customer.account, query_id, request)


@pytest.mark.parametrize("signer_off_seconds", [-OFF_SECONDS, OFF_SECONDS])
async def test_signatures_of_a_wrong_clock_hold(world: World, signer_off_seconds: int) -> None:
    chain, node = world.context.chain, world.owners[0]
    head = await chain.head()
    deadline = signature_deadline(time.time() + signer_off_seconds, head.timestamp)
    assert deadline > time.time() + OFF_SECONDS, "the coordinator's clock may be ahead as well"
    message = Unregistration(node.account, 1, deadline)
    signature = sign(node, world.context.domain("NodeRegistry"), message)
    call = CallBuilder(chain.contracts.addresses).unregister(message, signature)
    await chain.simulate(call, world.context.coordinator)


def test_certificates_hold_for_clocks_twenty_minutes_apart() -> None:
    authority, key = CertificateAuthority.create(), new_tls_key()
    behind = datetime.now(UTC) - timedelta(seconds=2 * OFF_SECONDS)
    issued = authority.issue(certificate_request(key, Signer.new().account), Signer.new().account)
    for certificate in (authority.ca_pem, issued, authority.issue_server(key, ("localhost",))):
        check_validity(certificate, behind)
    ahead = datetime.now(UTC) + timedelta(seconds=OFF_SECONDS)
    linked = new_link_identity("0x", ahead, timedelta(hours=1)).certificate_pem.encode()
    assert x509.load_pem_x509_certificate(linked).not_valid_before_utc < behind
