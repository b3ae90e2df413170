"""The audit beside a real coordinator: an honest one agrees, one whose database was falsified is told on."""

import asyncio

from fixtures.live_coordinator import ClientNode, LiveCoordinator, eventually
from sqlalchemy import update
from sqlmodel import col

from coordinator.chain.log_rows import log_of
from coordinator.models.nodes import Node
from soterone.audit.auditor import Request, run_audit
from soterone.audit.comparison import Told, ask
from soterone.audit.report import Scope
from soterone.chain.client import ChainClient
from soterone.chain.events import LogPosition, ReputationUpdated
from soterone.client.transport import Transport
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account, hash32
from soterone.domain.reputation_book import NO_QUERY

NAME = "the coordinator tells what the chain says"


def told_by(live: LiveCoordinator, head_number: int) -> Told:
    """What the coordinator answers to anybody, over real TLS."""
    transport = Transport(live.addresses["rest"], live.settings.data_dir / "ca.pem")
    try:
        return ask(transport, head_number)
    finally:
        transport.close()


async def differences(live: LiveCoordinator, chain: ChainClient, node: Account) -> str:
    """What the audit of one node says of the coordinator; the chain has nodes that it never heard of."""
    told = await asyncio.to_thread(told_by, live, (await chain.head()).number)
    report = (await run_audit(chain, Request(Scope(node=node), told=told))).report
    (check,) = [one for one in report.checks if one.name == NAME]
    return "\n".join(check.contradictions)


async def test_a_falsified_coordinator_is_told_on(
    live: LiveCoordinator, owner: ClientNode, chain: ChainClient
) -> None:
    async def shown() -> Told:
        return await asyncio.to_thread(told_by, live, (await chain.head()).number)

    await eventually(shown, lambda told: owner.account in [one.account for one in told.nodes])
    assert await differences(live, chain, owner.account) == ""
    friend, head = Signer.new().account, await chain.head()
    position = LogPosition(chain.contracts.chain_id, head.number, 0, head.hash, hash32(b"\x07" * 32))
    raised = ReputationUpdated(position, owner.account, NO_QUERY, 990_000_000, 10**11, 0)
    async with live.database.transaction() as session:
        await session.execute(
            update(Node).where(col(Node.account) == owner.account).values(operator=friend, version=0x020000)
        )
        session.add(log_of(raised, head.timestamp))
    found = await differences(live, chain, owner.account)
    assert (
        f"{owner.account}: the coordinator says operator {friend}, the chain gives {owner.account}" in found
    )
    assert "the coordinator says version 2.0.0, the chain gives 0.1.0" in found
    assert "the coordinator shows a step (renewed) to 0.990000000" in found
