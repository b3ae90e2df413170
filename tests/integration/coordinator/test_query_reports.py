"""What participants may say of a query, and what is not taken from them."""

import asyncio
import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixtures.query_world import World

from coordinator.errors import answer_to
from coordinator.queries import errors, service
from coordinator.queries.facts import LONE_SHARE_SECONDS
from coordinator.queries.schemas import CleanupNotice, FailureNotice, Progress
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import CleanupDone, sign
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId, hash32, hash_bytes
from soterone.rest.queries import Proposal


@pytest.fixture
async def running(world: World) -> Proposal:
    proposal = await world.propose()
    await world.launch(proposal)
    return proposal


def node_of(proposal: Proposal, rank: int = 0) -> Account:
    return Account(proposal.order.mpcs[rank])


async def test_strangers_are_told_nothing(world: World, running: Proposal) -> None:
    stranger = Signer.new().account
    identifier = QueryId(running.query_id)
    with pytest.raises(errors.NotParticipant) as caught:
        await service.describe_session(world.context, stranger, identifier)
    unknown = QueryId(hash32(b"u" * 32))
    with pytest.raises(errors.NotParticipant) as other:
        await service.describe_session(world.context, stranger, unknown)
    said = caught.value.sentence.replace(identifier, "")
    assert said == other.value.sentence.replace(unknown, "")
    with pytest.raises(errors.NotParticipant):
        await service.record_progress(world.context, stranger, Progress(identifier, 0, 1, "train", 0.5))
    notice = FailureNotice(identifier, 0, FailureReason.ENGINE_ERROR, "no")
    with pytest.raises(errors.NotParticipant):
        await service.record_failure(world.context, stranger, notice)


async def test_a_participant_learns_its_session(world: World, running: Proposal) -> None:
    session = await service.describe_session(world.context, node_of(running), QueryId(running.query_id))
    assert session.customer == world.customer.account
    assert [member.account for member in session.members] == [*running.order.owners, *running.order.mpcs]
    assert [len(member.datasets) for member in session.members] == [1, 1, 0, 0, 0]
    assert session.result_key == world.result_key.public
    assert session.spec_json == world.request().spec.canonical()


async def test_progress_never_goes_back(world: World, running: Proposal) -> None:
    node = node_of(running)
    for phase, fraction in (("linked", 1.0), ("train", 0.5), ("train", 0.2), ("share", 1.0), ("train", 0.5)):
        await world.progress(running.query_id, node, phase, fraction)
    view = await world.until(running.query_id, lambda view: view.status == "running")
    (mine,) = [one for one in view.participants if one.account == node]
    assert (mine.phase, mine.fraction) == ("train", 0.5)
    assert (await world.kinds(running.query_id)).count("progress") == 2


async def test_small_steps_are_told_when_they_add_up(world: World, running: Proposal) -> None:
    for fraction in (0.02, 0.04, 0.06, 0.08):
        await world.progress(running.query_id, node_of(running), "train", fraction)
    assert (await world.kinds(running.query_id)).count("progress") == 2


async def test_one_node_alone_does_not_end_the_training(world: World, running: Proposal) -> None:
    owner = Account(running.order.owners[0])
    await world.progress(running.query_id, node_of(running), "deliver")
    await world.progress(running.query_id, owner, "deliver")
    await world.disconnect(owner)
    view = await world.until(running.query_id, lambda view: view.status == "failed")
    assert view.failure is not None
    assert (view.failure.reason, view.failure.node) == (FailureReason.OWNER_LOST, owner)


async def test_nor_does_a_share_that_no_other_follows(world: World, running: Proposal) -> None:
    owner = Account(running.order.owners[1])
    assert await world.deliver(running.query_id, node_of(running, 1), 1, b"junk")
    await world.disconnect(owner)
    await asyncio.sleep(1.0)
    assert (await world.view(running.query_id)).status == "dispatched"
    await world.age_shares(LONE_SHARE_SECONDS)
    view = await world.until(running.query_id, lambda view: view.status == "failed")
    assert view.failure is not None
    assert (view.failure.reason, view.failure.node) == (FailureReason.OWNER_LOST, owner)


@pytest.mark.parametrize(
    "wrong",
    [{"phase": "think"}, {"fraction": float("nan")}, {"generation": 1}],
    ids=["phase", "fraction", "generation"],
)
async def test_progress_that_does_not_fit_is_refused(
    world: World, running: Proposal, wrong: dict[str, Any]
) -> None:
    progress = replace(Progress(QueryId(running.query_id), 0, 1, "train", 0.5), **wrong)
    with pytest.raises((errors.SpecDoesNotFit, errors.StaleGeneration)):
        await service.record_progress(world.context, node_of(running), progress)


async def test_details_are_shown_without_control_characters(world: World, running: Proposal) -> None:
    progress = Progress(QueryId(running.query_id), 0, 1, "train", 0.5, "epoch\x00 \u202e3\n" + "x" * 900)
    await service.record_progress(world.context, node_of(running), progress)
    view = await world.view(running.query_id)
    (mine,) = [one for one in view.participants if one.account == node_of(running)]
    assert mine.detail.startswith("epoch 3x")
    assert len(mine.detail) == 200


async def test_shares_that_do_not_fit_are_refused(world: World, running: Proposal) -> None:
    node = node_of(running)
    header, data = world.share(running.query_id, node, 0)
    wrong = {
        errors.StaleGeneration: world.share(running.query_id, node, 0, generation=1)[0],
        errors.NotParticipant: world.share(running.query_id, node, 1)[0],
        errors.WrongSignature: replace(header, signature=world.share(running.query_id, node, 0)[0].signature),
        errors.BadShare: replace(header, size_bytes=header.size_bytes + 1),
        errors.ShareTooLarge: replace(header, size_bytes=2**40),
    }
    for kind, bad in wrong.items():
        with pytest.raises(kind):
            await service.store_result(world.context, node, bad, data)
    with pytest.raises(errors.BadShare):
        await service.store_result(world.context, node, header, bytes([*data[:-1], data[-1] ^ 1]))
    with pytest.raises(errors.NotParticipant):
        await service.store_result(world.context, Account(running.order.owners[0]), header, data)
    assert await world.context.results.keep_only([], -1) == 0


async def test_the_same_share_again_is_fine_and_another_is_not(world: World, running: Proposal) -> None:
    node = node_of(running)
    header, data = world.share(running.query_id, node, 0)
    assert await service.store_result(world.context, node, header, data)
    assert await service.store_result(world.context, node, header, data)
    other, content = world.share(running.query_id, node, 0, b"other weights")
    with pytest.raises(errors.BadShare, match="another share"):
        await service.store_result(world.context, node, other, content)


async def test_a_share_is_not_taken_before_dispatch_or_after_failure(world: World) -> None:
    proposal = await world.propose()
    header, data = world.share(proposal.query_id, node_of(proposal), 0)
    with pytest.raises(errors.NotYet):
        await service.store_result(world.context, node_of(proposal), header, data)
    await world.launch(proposal)
    notice = FailureNotice(QueryId(proposal.query_id), 0, FailureReason.TOO_FEW_COMMON_ROWS, "Only 3 rows.")
    await service.record_failure(world.context, Account(proposal.order.owners[0]), notice)
    await world.until(proposal.query_id, lambda view: view.status == "failed")
    with pytest.raises(errors.AlreadyEnded):
        await service.store_result(world.context, node_of(proposal), header, data)
    with pytest.raises(errors.AlreadyEnded, match="Only 3 rows"):
        await service.result(world.context, world.customer.account, proposal.query_id)


async def test_a_full_disk_keeps_nothing(
    world: World, running: Proposal, monkeypatch: pytest.MonkeyPatch
) -> None:
    header, data = world.share(running.query_id, node_of(running), 0)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(errors.StoreFull) as caught:
            await world.context.results.put(data)
    assert answer_to(caught.value).status == 503
    assert files_under(world.context.settings.data_dir / "results") == []
    assert await service.store_result(world.context, node_of(running), header, data)


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_cleanup_is_promised_by_the_node_itself_and_after_the_end(
    world: World, running: Proposal
) -> None:
    node, identifier = node_of(running), hash_bytes(running.query_id)
    domain = world.context.domain("QueryLedger")
    signature = sign(world.nodes[node], domain, CleanupDone(identifier, 2**40))
    notice = CleanupNotice(QueryId(running.query_id), 2**40, signature)
    with pytest.raises(errors.NotYet):
        await service.record_cleanup(world.context, node, notice)
    with pytest.raises(errors.WrongSignature):
        await service.record_cleanup(world.context, node_of(running, 1), notice)
    await world.run_to_the_end(running)
    for _ in range(2):
        await service.record_cleanup(world.context, node, notice)
    assert (await world.kinds(running.query_id)).count("node-cleaned-up") == 1
    assert not (await world.view(running.query_id)).cleaned_up


async def test_no_result_before_completion(world: World, running: Proposal) -> None:
    with pytest.raises(errors.NotYet):
        await service.result(world.context, world.customer.account, running.query_id)
