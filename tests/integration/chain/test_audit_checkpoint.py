"""Auditing on from where the last audit left off: the same as from the beginning, and nothing is believed unsigned."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from audits import audit_through, complaints, finished_query, settled_query, small_history
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fixtures.chain import Anvil
from nodes import mined

from soterone.audit.auditor import Request, run_audit
from soterone.audit.checkpoint import Checkpoint, CheckpointError, load, own_key, public_key_of, save
from soterone.audit.report import AnchorKind, Scope
from soterone.chain.calls import CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.errors import RpcError
from soterone.chain.json_rpc import JsonRpc
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Feedback
from soterone.domain.ids import QueryId, hash_bytes


@pytest_asyncio.fixture
async def query(own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer]) -> QueryId:
    return await small_history(own_chain, coordinator_signer, signers)


@pytest.fixture
def key(tmp_path: Path) -> Ed25519PrivateKey:
    return own_key(tmp_path / "auditor" / "audit.key")


async def checkpoint_of(chain: ChainClient, request: Request | None = None) -> Checkpoint:
    finished = await run_audit(chain, request or Request())
    assert finished.checkpoint is not None, complaints(finished.report)
    return finished.checkpoint


def kept(checkpoint: Checkpoint, folder: Path, key: Ed25519PrivateKey) -> Checkpoint:
    """What is read again of a written checkpoint."""
    save(checkpoint, folder / "checkpoint", key)
    return load(folder / "checkpoint", frozenset({public_key_of(key)}))


async def test_going_on_gives_what_a_whole_audit_gives(
    own_chain: ChainClient,
    query: QueryId,
    coordinator_signer: Signer,
    signers: list[Signer],
    tmp_path: Path,
    key: Ed25519PrivateKey,
) -> None:
    first = kept(await checkpoint_of(own_chain), tmp_path, key)
    await finished_query(own_chain, coordinator_signer, signers)
    finished = await run_audit(own_chain, Request(checkpoint=first))
    report = finished.report
    assert report.ok, complaints(report)
    assert report.first_block == first.block.number + 1
    assert report.new_events == report.events - first.events == 3 + 1 + 1 + 6 + 4
    whole = await run_audit(own_chain, Request())
    assert finished.checkpoint == whole.checkpoint
    told = await run_audit(
        own_chain, Request(Scope(query=query), checkpoint=kept(finished.checkpoint, tmp_path, key))
    )
    assert told.report.new_events == 0
    assert [one.event for one in told.report.steps][-1] == "ReputationUpdated"
    assert told.checkpoint is None


async def test_an_rpc_that_leaves_out_all_that_is_new_is_caught(
    own_chain: ChainClient,
    query: QueryId,
    coordinator_signer: Signer,
    signers: list[Signer],
    tmp_path: Path,
    key: Ed25519PrivateKey,
) -> None:
    first = kept(await checkpoint_of(own_chain), tmp_path, key)
    await finished_query(own_chain, coordinator_signer, signers)
    report = await audit_through({"eth_getLogs": lambda logs: []}, own_chain, Request(checkpoint=first))
    assert report.new_events == 0
    (storage,) = [one for one in report.checks if one.name.startswith("storage is proven")]
    assert [one for one in storage.contradictions if "for the record of" in one]
    assert [one for one in storage.contradictions if "for the credibility of" in one]


async def test_a_rating_that_moves_nothing_is_missed_behind_a_checkpoint_too(
    own_chain: ChainClient, own_anvil: Anvil, coordinator_signer: Signer, signers: list[Signer]
) -> None:
    """Beyond the ratings that count in a week nothing is left of one but a bit of the settlement, which stays open to
    ratings after everything else of a query is over."""
    chain, calls, week = own_chain, CallBuilder(own_chain.contracts.addresses), (await own_chain.periods())[1]
    open_for_ratings = [await settled_query(chain, coordinator_signer, signers, [100] * 5) for _ in range(2)]
    own_anvil.rpc("evm_setNextBlockTimestamp", ((await chain.head()).timestamp // week + 1) * week)
    own_anvil.rpc("anvil_mine", "0x1")
    deadline = (await chain.head()).timestamp + 3600
    ratings = [
        calls.give_feedback(Feedback(hash_bytes(query), (node,), (100,), deadline), opening, b"")
        for query, opening in open_for_ratings
        for node in opening.roster.participants
    ]
    for counted in ratings[:8]:
        await mined(chain, signers[0], counted)
    first = await checkpoint_of(chain)
    await mined(chain, signers[0], ratings[8])
    assert (await run_audit(chain, Request(checkpoint=first.model_copy(deep=True)))).report.ok
    report = await audit_through({"eth_getLogs": lambda logs: []}, chain, Request(checkpoint=first))
    (found,) = complaints(report).splitlines()
    assert f"for the settlement of query {open_for_ratings[1][0]}" in found


class SparingRpc(JsonRpc):
    """An RPC that refuses long ranges of logs, as public ones do."""

    async def call(self, method: str, *parameters: Any) -> Any:
        if method == "eth_getLogs" and "toBlock" in parameters[0]:
            first, last = (int(parameters[0][name], 16) for name in ("fromBlock", "toBlock"))
            if last - first >= 4:
                raise RpcError(method, -32005, "the range is too large")
        return await super().call(method, *parameters)


async def test_what_lies_behind_a_checkpoint_is_read_in_ranges(
    own_chain: ChainClient, query: QueryId
) -> None:
    request = Request(Scope(query=query), checkpoint=await checkpoint_of(own_chain))
    whole = (await run_audit(own_chain, Request(Scope(query=query)))).report
    async with ChainClient(SparingRpc(own_chain.rpc.endpoint), own_chain.contracts) as sparing:
        report = (await run_audit(sparing, request)).report
    assert report.steps == whole.steps
    assert report.steps


async def test_a_changed_checkpoint_is_refused(
    own_chain: ChainClient, query: QueryId, tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    path = tmp_path / "checkpoint"
    save(await checkpoint_of(own_chain), path, key)
    written = path.read_text()
    path.write_text(written.replace('"good":', '"good":1', 1))
    with pytest.raises(CheckpointError, match="was changed after it was signed"):
        load(path, frozenset({public_key_of(key)}))
    path.write_text(written)
    with pytest.raises(CheckpointError, match="whom you do not trust"):
        load(path, frozenset({public_key_of(own_key(tmp_path / "other.key"))}))
    save(load(path, frozenset({public_key_of(key)})), path, own_key(tmp_path / "other.key"))
    with pytest.raises(CheckpointError, match="whom you do not trust"):
        load(path, frozenset({public_key_of(key)}))


async def test_a_reorganisation_below_the_checkpoint_is_noticed(
    own_chain: ChainClient, own_anvil: Anvil, query: QueryId
) -> None:
    checkpoint = await checkpoint_of(own_chain)
    own_anvil.rpc("anvil_reorg", 3, [])
    own_anvil.rpc("evm_mine")
    with pytest.raises(CheckpointError, match="reorganised below the checkpoint"):
        await run_audit(own_chain, Request(checkpoint=checkpoint))


async def test_an_anchored_checkpoint_anchors_what_it_covers(
    own_chain: ChainClient, own_anvil: Anvil, query: QueryId
) -> None:
    async with ChainClient(JsonRpc(own_chain.rpc.endpoint), own_chain.contracts) as second:
        anchored = await checkpoint_of(own_chain, Request(second=second))
    assert anchored.anchored
    report = (await run_audit(own_chain, Request(checkpoint=anchored))).report
    assert report.anchored
    assert report.anchor.kind is AnchorKind.CHECKPOINT
    own_anvil.rpc("evm_mine")
    finished = await run_audit(own_chain, Request(checkpoint=anchored))
    assert not finished.report.anchored
    assert finished.report.anchor.block == anchored.block.number
    assert finished.checkpoint is not None
    assert not finished.checkpoint.anchored


async def test_a_checkpoint_of_other_contracts_is_refused(own_chain: ChainClient, query: QueryId) -> None:
    checkpoint = await checkpoint_of(own_chain)
    others = {**checkpoint.contracts, "QueryLedger": checkpoint.contracts["NodeRegistry"]}
    with pytest.raises(CheckpointError, match="of another chain"):
        checkpoint.model_copy(update={"contracts": others}).check_network(own_chain.contracts)
    periods = replace(checkpoint.periods, epoch=checkpoint.periods.epoch + 1)
    longer = Request(checkpoint=checkpoint.model_copy(update={"periods": periods}))
    with pytest.raises(CheckpointError, match="other periods"):
        await run_audit(own_chain, longer)
