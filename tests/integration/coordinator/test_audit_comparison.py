"""The audit beside a real coordinator: an honest one agrees, one whose database was falsified is told on."""

import asyncio
from dataclasses import replace
from typing import Any

from fixtures.live_coordinator import ClientNode, LiveCoordinator, eventually
from sqlalchemy import update
from sqlmodel import col

from coordinator.chain.log_rows import log_of
from coordinator.models.nodes import Node
from soterone.audit.asking import Known, Told, ask, what_is_known
from soterone.audit.auditor import Request, run_audit
from soterone.audit.report import Scope
from soterone.chain.client import ChainClient
from soterone.chain.events import ClaimUpheld, LogPosition, ProfileMeasured, ReputationUpdated
from soterone.client.transport import Reply, Transport
from soterone.crypto.accounts import Signer
from soterone.domain.detection import Accusation, Claim, Kind, Measurement
from soterone.domain.ids import Account, hash32
from soterone.domain.reputation import Severity
from soterone.domain.reputation_book import NO_QUERY
from soterone.rest.catalog import NodeList

NAME = "the coordinator tells what the chain says"


class EndlessCatalog(Transport):
    """A coordinator whose every page of nodes is the first, and never the last."""

    def get(self, path: str, reply: type[Reply], **parameters: Any) -> Reply:
        if reply is not NodeList:
            return super().get(path, reply, **parameters)
        found = super().get(path, reply, **{**parameters, "after": None})
        return found.model_copy(update={"next": Signer.new().account})


def told_by(live: LiveCoordinator, known: Known, kind: type[Transport] = Transport) -> Told:
    """What the coordinator answers to anybody, over real TLS."""
    transport = kind(live.addresses["rest"], live.settings.data_dir / "ca.pem")
    try:
        return ask(transport, known)
    finally:
        transport.close()


async def differences(
    live: LiveCoordinator, chain: ChainClient, node: Account, kind: type[Transport] = Transport
) -> str:
    """What the audit of one node says of the coordinator; the chain has nodes that it never heard of."""
    told = await asyncio.to_thread(told_by, live, await what_is_known(chain), kind)
    report = (await run_audit(chain, Request(Scope(node=node), told=told))).report
    (check,) = [one for one in report.checks if one.name == NAME]
    return "\n".join(check.contradictions)


async def test_a_falsified_coordinator_is_told_on(
    live: LiveCoordinator, owner: ClientNode, chain: ChainClient
) -> None:
    async def shown() -> Told:
        return await asyncio.to_thread(told_by, live, await what_is_known(chain))

    await eventually(shown, lambda told: owner.account in [one.account for one in told.nodes])
    assert await differences(live, chain, owner.account) == ""
    friend, head = Signer.new().account, await chain.head()
    position = LogPosition(chain.contracts.chain_id, head.number, 0, head.hash, hash32(b"\x07" * 32))
    raised = ReputationUpdated(position, owner.account, NO_QUERY, 990_000_000, 10**11, 0)
    accusation = Accusation(owner.account, owner.account, 1, Kind.PROFILE, Severity.GRAVE)
    claim_id = hash32(b"\x08" * 32)
    claim = ClaimUpheld(
        replace(position, log_index=1), claim_id, owner.account, Claim(accusation, 3, 8 * 10**9, 1)
    )
    small = Measurement(1, 1, 1)
    measured = ProfileMeasured(replace(position, log_index=2), claim_id, owner.account, small)
    async with live.database.transaction() as session:
        await session.execute(
            update(Node).where(col(Node.account) == owner.account).values(operator=friend, version=0x020000)
        )
        session.add_all(log_of(event, head.timestamp) for event in (raised, claim, measured))
    found = await differences(live, chain, owner.account)
    assert (
        f"{owner.account}: the coordinator says operator {friend}, the chain gives {owner.account}" in found
    )
    assert "the coordinator says version 2.0.0, the chain gives 0.1.0" in found
    assert "the coordinator shows a step (renewed) to 0.990000000" in found
    assert f"claim {claim_id} against {owner.account}: the coordinator shows it" in found
    assert (
        f"verified capacity (cores, bytes, by claim) (1, 1048576, '{claim_id}'), the chain gives (4, "
        in found
    )
    assert "goes on for longer" not in found


async def test_a_list_of_nodes_without_an_end_ends_and_is_told_on(
    live: LiveCoordinator, owner: ClientNode, chain: ChainClient
) -> None:
    async def shown() -> Told:
        return await asyncio.to_thread(told_by, live, await what_is_known(chain))

    await eventually(shown, lambda told: owner.account in [one.account for one in told.nodes])
    found = await differences(live, chain, owner.account, EndlessCatalog)
    assert "the coordinator's list of nodes goes on for longer than the chain can explain" in found
