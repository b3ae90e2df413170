"""The audit of replacements: an honest draw repeats, a false one and a lie about one are caught."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from audits import LyingRpc, audit_through, changed_logs, complaints, complaints_of, finished_query
from fixtures.chain import Anvil
from nodes import dispatched, domain, mined, registering, soon

from soterone.audit.auditor import Request, audit, run_audit
from soterone.audit.headers import hash_of
from soterone.chain.calls import CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.openings import Opening
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import LossReport, sign
from soterone.domain.candidates import Candidate, successor
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.domain.reputation import Record
from soterone.domain.roles import Role


@dataclass(frozen=True, slots=True)
class Loss:
    """A query that lost an MPC node, and who may follow it."""

    query: QueryId
    opening: Opening
    lost: Account
    candidates: tuple[Account, ...]
    seed_block: int


@pytest_asyncio.fixture
async def loss(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer, signers: list[Signer]
) -> Loss:
    """A query after another one was settled, so that records differ; the seed block is mined."""
    await finished_query(own_chain, coordinator_signer, signers)
    for spare in signers[6:]:
        await mined(own_chain, coordinator_signer, registering(own_chain, spare, Role.MPC_NODE))
    order, opening = await dispatched(own_chain, coordinator_signer, signers)
    own_anvil.rpc("evm_mine")
    query, head = await own_chain.query_id_of(order.customer, order.salt), await own_chain.head()
    candidates = tuple(one.account for one in signers[6:])
    return Loss(query, opening, order.mpcs[1], candidates, head.number)


async def announce(chain: ChainClient, relay: Signer, reporter: Signer, loss: Loss, new_mpc: Account) -> None:
    report = LossReport(hash_bytes(loss.query), 0, loss.lost, soon())
    call = CallBuilder(chain.contracts.addresses).replace_mpc(
        report,
        loss.opening,
        reporter.account,
        sign(reporter, domain(chain, "QueryLedger"), report),
        new_mpc=new_mpc,
        seed_block=loss.seed_block,
        candidates=loss.candidates,
    )
    await mined(chain, relay, call)


async def drawn(chain: ChainClient, loss: Loss) -> Account:
    """Draw as the agents do, from the chain's state after the seed block."""
    block = await chain.block(loss.seed_block)
    assert block is not None
    epoch = block.timestamp // await chain.epoch_seconds()
    candidates = []
    for node in loss.candidates:
        known, record = await chain.node_of(node), Record(*await chain.record_of(node))
        candidates.append(Candidate.of_record(node, known.operator, known.version, record, epoch))
    return successor(hash_bytes(block.hash), candidates, 0, frozenset())


async def test_an_honest_draw_repeats(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer], loss: Loss
) -> None:
    await announce(own_chain, coordinator_signer, signers[1], loss, await drawn(own_chain, loss))
    report = await audit(own_chain)
    assert report.ok, complaints(report)
    (draws,) = [check for check in report.checks if check.name == "draws repeat from their seeds"]
    assert draws.examined == 1
    assert draws.note == "nobody but this RPC confirms the blocks that seeded them"


async def test_a_pinned_block_confirms_the_seed_by_its_ancestors(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer], loss: Loss, own_anvil: Anvil
) -> None:
    await announce(own_chain, coordinator_signer, signers[1], loss, await drawn(own_chain, loss))
    own_anvil.rpc("anvil_mine", hex(207))
    pinned = Request(pinned=(await own_chain.head()).hash)
    report = (await run_audit(own_chain, pinned)).report
    assert report.ok, complaints(report)
    (draws,) = [check for check in report.checks if check.name == "draws repeat from their seeds"]
    assert draws.note == ""

    def another_seed(block: dict[str, Any]) -> dict[str, Any]:
        if int(block["number"], 16) != loss.seed_block:
            return block
        forged = {**block, "extraData": "0x77"}
        return {**forged, "hash": hash_of(forged)}

    lie = {"eth_getBlockByNumber": another_seed}
    found = complaints(await audit_through(lie, own_chain, pinned))
    assert f"block {loss.seed_block} is shown as " in found
    assert "is shown as" not in complaints(await audit_through(lie, own_chain))


async def test_a_second_rpc_confirms_the_seed_or_is_named(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer], loss: Loss
) -> None:
    await announce(own_chain, coordinator_signer, signers[1], loss, await drawn(own_chain, loss))

    def another_seed(block: dict[str, Any]) -> dict[str, Any]:
        return {**block, "hash": f"0x{'7' * 64}"} if int(block["number"], 16) == loss.seed_block else block

    name = "draws repeat from their seeds"
    for lies, complaint in (({}, ""), ({"eth_getBlockByNumber": another_seed}, f"says 0x{'7' * 64}")):
        async with ChainClient(LyingRpc(own_chain.rpc.endpoint, lies), own_chain.contracts) as second:
            report = (await run_audit(own_chain, Request(second=second))).report
        found = complaints_of(report, name)
        assert complaint in found
        assert bool(found) == bool(complaint)
        assert [one.note for one in report.checks if one.name == name] == [""]


async def test_a_successor_that_the_seed_does_not_draw_is_caught(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer], loss: Loss
) -> None:
    right = await drawn(own_chain, loss)
    wrong = next(one for one in loss.candidates if one != right)
    await announce(own_chain, coordinator_signer, signers[1], loss, wrong)
    assert f"was given {wrong}, but the seed of block {loss.seed_block} draws {right}" in complaints(
        await audit(own_chain)
    )


async def test_a_seed_from_before_the_loss_is_caught(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer], loss: Loss
) -> None:
    early = replace(loss, seed_block=2)
    await announce(own_chain, coordinator_signer, signers[1], early, loss.candidates[0])
    assert "which is not of the time of the loss" in complaints(await audit(own_chain))


async def test_candidates_that_cannot_serve_are_caught(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer], loss: Loss
) -> None:
    packed = replace(loss, candidates=(*loss.candidates, signers[0].account))
    await announce(own_chain, coordinator_signer, signers[1], packed, loss.candidates[0])
    assert f"of which {signers[0].account} was no active MPC node" in complaints(await audit(own_chain))


@pytest.mark.parametrize("place", [0, -1], ids=["seed block", "candidate"])
async def test_a_lie_about_the_draw_is_caught(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer], loss: Loss, place: int
) -> None:
    await announce(own_chain, coordinator_signer, signers[1], loss, await drawn(own_chain, loss))

    def otherwise(log: dict[str, Any]) -> dict[str, Any]:
        words = [log["data"][start : start + 64] for start in range(2, len(log["data"]), 64)]
        at = 1 if place == 0 else len(words) - 1
        words[at] = f"{int(words[at], 16) ^ 1:064x}"
        return {**log, "data": f"0x{''.join(words)}"}

    report = await audit_through(changed_logs("MPCUpdated", otherwise), own_chain)
    assert f"a replacement in query {loss.query} was announced with" in complaints(report)
