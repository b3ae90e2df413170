"""Agents lose engines, peers and generations over real mutual TLS, and finish all the same; the engine is rehearsed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from fixtures.participants import LEDGER, new_query
from fixtures.query_network import Network, leftovers, network_of
from fixtures.recording_coordinator import until
from fixtures.scripted_chain import STARTED_AT

from node_agent.engines.base import EngineError, TrainJob
from node_agent.sessions.checkpoints import KEPT, Checkpoint
from node_agent.sessions.states import Fence
from soterone.crypto.accounts import account
from soterone.crypto.messages import LossReport, recover
from soterone.crypto.sealing import share_context
from soterone.domain.failures import FailureReason

EPOCHS = 4
BROKEN = EngineError(FailureReason.ENGINE_ERROR, "The engine ended before its work was done.")


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with network_of(new_query(), tmp_path, spares=3, epochs=EPOCHS) as made:
        await made.offer()
        yield made


def hold_after_epoch(network: Network, epoch: int) -> None:
    """Let all training of the first generation's first attempt stand still after an epoch."""

    async def stand_still(job: TrainJob, done: int) -> None:
        if done == epoch and job.link.generation == 0 and job.link.attempt == 1:
            await asyncio.sleep(600)

    for agent in network.mpcs:
        agent.engine.after_epoch = stand_still


async def until_kept(network: Network, epoch: int) -> None:
    """Wait until every MPC node keeps the checkpoint of an epoch."""
    name = Checkpoint(epoch, Fence(0, 1)).name
    await until(lambda: all(a.session and a.session._workspace for a in network.mpcs))
    await until(lambda: all(a.session._workspace.has(name) for a in network.mpcs))


def generation_results(network: Network, generation: int) -> dict[int, bytes]:
    """Open the model shares of a generation, by rank."""
    query = network.query
    return {
        header.rank: query.result_key.open(sealed, share_context(query.id, generation, header.rank))
        for header, sealed in network.heard.results
        if header.generation == generation and header.rank != 255
    }


async def test_after_a_killed_engine_everybody_goes_on_from_its_own_checkpoint(network: Network) -> None:
    async def break_once(job: TrainJob, done: int) -> None:
        if done == 2 and job.link.attempt == 1:
            await until_kept(network, 2)
            raise BROKEN

    hold_after_epoch(network, 2)
    network.mpcs[1].engine.after_epoch = break_once
    await network.dispatch()
    await until(lambda: network.states == {"done"})
    for rank, agent in enumerate(network.mpcs):
        last = agent.engine.jobs[-1]
        assert (last.link.attempt, last.resume_epoch) == (2, 2)
        assert agent.engine.resumed[-1] == (b"epoch 2 of rank %d" % rank,)
        assert agent.engine.lent == []
    assert generation_results(network, 0) == {rank: f"0{rank}|1{rank}".encode() for rank in range(3)}
    assert network.heard.failures == []


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_an_agent_that_was_killed_and_restarted_has_its_checkpoints_still(
    network: Network, victim: int
) -> None:
    hold_after_epoch(network, 3)
    await network.dispatch()
    await until_kept(network, 3)
    agent = network.mpcs[victim]
    await agent.stop()
    await agent.start()
    await until(lambda: network.states == {"done"})
    assert {one.engine.jobs[-1].resume_epoch for one in network.mpcs} == {3}
    assert sorted(generation_results(network, 0)) == [0, 1, 2]
    assert network.heard.failures == []


async def test_a_result_that_is_written_stands_though_the_parting_failed(network: Network) -> None:
    def lose_the_others(job: TrainJob) -> None:
        raise BROKEN

    network.mpcs[2].engine.parting = lose_the_others
    await network.dispatch()
    await until(lambda: network.states == {"done"})
    assert sorted(generation_results(network, 0)) == [0, 1, 2]
    assert {len(agent.engine.jobs) for agent in network.agents} == {1}


async def test_a_mismatch_starts_from_the_beginning(network: Network) -> None:
    async def break_once(job: TrainJob, done: int) -> None:
        if done == 2 and job.link.attempt == 1:
            await until_kept(network, 2)
            raise BROKEN

    def refuse_resumed(job: TrainJob) -> None:
        if isinstance(job, TrainJob) and job.resume_epoch:
            raise EngineError(FailureReason.ENGINE_ERROR, "The checkpoints do not fit.", mismatch=True)

    hold_after_epoch(network, 2)
    network.mpcs[1].engine.after_epoch = break_once
    for agent in network.mpcs:
        agent.engine.after = refuse_resumed
    await network.dispatch()
    await until(lambda: network.states == {"done"})
    assert {agent.engine.jobs[-1].resume_epoch for agent in network.mpcs} == {0}


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_a_successor_goes_on_from_what_the_survivors_lend(network: Network, victim: int) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    lost, old_leader = network.mpcs[victim], network.agents[0].session.leader
    await lost.stop()
    event = await network.replace(lost)
    await until(lambda: network.states == {"done"})
    check_lending(network, victim)
    assert set(generation_results(network, 1)) == {0, 1, 2}
    assert generation_results(network, 0) == {}
    assert network.agents[0].session.leader == min(network.agents[0].session.order.mpcs, key=str.lower)
    assert (network.agents[0].session.leader != old_leader) or victim != 0 or event.new_mpc < old_leader
    await network.clean_up()
    await until(lambda: len(network.heard.cleanups) == 5)
    assert leftovers(network) == []


def check_lending(network: Network, victim: int) -> None:
    """The survivors lent each their half; every node of the trio got both parts, and only its own."""
    ranks = [rank for rank in range(3) if rank != victim]
    for rank, agent in enumerate(network.mpcs):
        assert [(job.rank, job.other_rank) for job in agent.engine.lent] == (
            [(rank, next(other for other in ranks if other != rank))] if rank in ranks else []
        )
        assert agent.engine.jobs[-1].resume_epoch == 2
        assert agent.engine.resumed[-1] == tuple(
            b"epoch 2 of rank %d by %d for %d" % (lender, lender, rank) for lender in ranks
        )


async def test_a_node_that_slept_through_its_replacement_cleans_up_when_it_is_back(network: Network) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    lost = network.mpcs[1]
    await lost.stop()
    event = await network.replace(lost)
    await until(lambda: network.states == {"done"})
    await lost.start()
    await lost.sessions.handle(event)
    await until(lambda: lost.session is None)
    assert len(network.heard.cleanups) == 1
    workspaces = lost.context.workspaces
    assert not any(path.is_file() for path in workspaces.root.rglob("*"))
    assert len(lost.engine.jobs) == 1
    assert generation_results(network, 0) == {}


async def test_a_lost_node_that_still_runs_stops_at_once_and_its_calls_are_refused(network: Network) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    lost = network.mpcs[2]
    event = await network.replace(lost)
    await lost.sessions.handle(event)
    await until(lambda: lost.session is None)
    await until(lambda: network.states == {"done"})
    assert generation_results(network, 0) == {}
    await lost.sessions.handle(event)
    assert lost.session is None


async def test_a_replaced_node_that_is_killed_before_it_has_cleaned_up_does_so_when_it_is_back(
    network: Network,
) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    lost = network.mpcs[2]
    event = await network.replace(lost)
    assert lost.session is not None
    lost.session.replaced(event)
    await lost.stop()
    assert any(path.is_file() for path in lost.context.workspaces.root.rglob("*"))
    await lost.start()
    await until(lambda: lost.session is None)
    assert not any(path.is_file() for path in lost.context.workspaces.root.rglob("*"))


async def test_two_nodes_lost_at_once_start_from_the_beginning(network: Network) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    first, second = network.mpcs[0], network.mpcs[2]
    await asyncio.gather(first.stop(), second.stop())
    await network.replace(first)
    await asyncio.sleep(0.2)
    await network.replace(second)
    await until(lambda: network.states == {"done"})
    assert {agent.engine.jobs[-1].resume_epoch for agent in network.mpcs} == {0}
    assert set(generation_results(network, 2)) == {0, 1, 2}
    assert network.heard.failures == []


async def test_a_participant_that_sleeps_through_a_replacement_joins_the_new_generation(
    network: Network,
) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    lost, sleeper = network.mpcs[1], network.agents[0]
    await asyncio.gather(lost.stop(), sleeper.stop())
    event = await network.replace(lost)
    await asyncio.sleep(0.3)
    await sleeper.start()
    await sleeper.sessions.handle(event)
    await until(lambda: network.states == {"done"})
    assert sleeper.session.fence.generation == 1


async def test_a_result_of_the_generation_before_is_void(network: Network) -> None:
    network.coordinator.refuse_results = 10**6
    await network.dispatch()
    await until(lambda: {agent.state for agent in network.mpcs} == {"delivering"})
    lost = network.mpcs[1]
    await lost.stop()
    await network.replace(lost)
    network.coordinator.refuse_results = 0
    await until(lambda: network.states == {"done"})
    assert {header.generation for header, _ in network.heard.results} == {1}
    assert set(generation_results(network, 1)) == {0, 1, 2}
    assert {agent.engine.jobs[-1].resume_epoch for agent in network.mpcs} == {EPOCHS}
    assert not network.mpcs[0].session._workspace.has("result-0")


async def test_a_late_share_of_the_generation_before_is_dropped_in_silence(network: Network) -> None:
    network.coordinator.refuse_results = 10**6
    await network.dispatch()
    await until(lambda: {agent.state for agent in network.mpcs} == {"delivering"})
    late = network.mpcs[1]
    network.coordinator.description.generation = 1
    network.coordinator.refuse_results = 0
    await until(lambda: late.state == "done")
    assert network.heard.results == []
    assert network.heard.failures == []


async def test_a_successor_that_the_seed_does_not_draw_is_worked_with_by_nobody(network: Network) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    await network.replace(network.mpcs[1], forged=True)
    await until(lambda: network.states == {"failed"})
    await until(lambda: len(network.heard.failures) == 5)
    assert {(one.reason, one.generation) for one in network.heard.failures} == {
        (FailureReason.POLICY_REFUSED, 1)
    }
    assert "is not the one that the seed of block 8 draws" in network.heard.failures[0].sentence
    assert {len(agent.engine.lent) for agent in network.agents} == {0}


async def test_a_repeated_replacement_and_one_of_the_past_change_nothing(network: Network) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    event = await network.replace(network.mpcs[1])
    await until(lambda: network.states == {"done"})
    for agent in network.agents:
        await agent.sessions.handle(event)
        await agent.sessions.handle(replace(event, new_mpc=event.candidates[-1]))
    await asyncio.sleep(0.1)
    assert network.states == {"done"}
    assert {agent.session.fence.generation for agent in network.agents} == {1}


async def test_a_silent_node_is_reported_signed_and_by_the_chains_time(network: Network) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    lost = network.mpcs[2]
    await lost.stop()
    await until(lambda: len({notice.signature for notice in network.heard.losses}) >= 4, seconds=30)
    others = {agent.node.account for agent in network.agents if agent is not lost}
    for notice in network.heard.losses:
        assert account(notice.lost) == lost.node.account
        assert notice.deadline == STARTED_AT + lost.chain.last_block + 3600
        message = LossReport(network.query.id, 0, lost.node.account, notice.deadline)
        assert recover(LEDGER, message, notice.signature) in others
    silent = [notice for notice in network.heard.losses if not notice.unlinked]
    assert len(silent) == 4


async def test_two_that_cannot_link_complain_of_each_other_and_one_is_replaced(network: Network) -> None:
    def cut(rank: int, other: int) -> None:
        def refuse(job: TrainJob) -> None:
            if job.link.generation == 0:
                raise EngineError(FailureReason.ENGINE_ERROR, "They could not link.", unlinked=(other,))

        network.mpcs[rank].engine.before = refuse

    cut(0, 2)
    cut(2, 0)
    await network.dispatch()
    await until(lambda: len(network.heard.losses) == 2)
    accused = {account(notice.lost) for notice in network.heard.losses if notice.unlinked}
    assert accused == {network.mpcs[0].node.account, network.mpcs[2].node.account}
    assert len(network.mpcs[0].engine.jobs) == 2
    lost = network.mpcs[0]
    event = await network.replace(lost)
    await lost.sessions.handle(event)
    await until(lambda: network.states == {"done"})
    assert network.heard.failures == []


async def test_a_successor_waits_for_a_coordinator_that_is_away(network: Network) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    await network.mpcs[1].stop()
    await network.coordinator.stop()
    await network.replace(network.mpcs[1])
    await asyncio.sleep(1.5 * network.agents[0].limits.join_patience_seconds)
    assert network.states == {"offered"}
    await network.coordinator.start()
    await until(lambda: network.states == {"done"})
    assert network.heard.failures == []


async def test_a_leader_that_finished_alone_is_complained_of(network: Network) -> None:
    leader = next(a for a in network.mpcs if a.node.account == min(network.query.order.mpcs, key=str.lower))

    def break_at_the_end(job: TrainJob, done: int) -> None:
        if done == EPOCHS and job.link.generation == 0:
            raise BROKEN

    others = [agent for agent in network.mpcs if agent is not leader]
    for agent in others:
        agent.engine.after_epoch = break_at_the_end
    await network.dispatch()
    await until(lambda: leader.state == "done")
    await until(lambda: len(network.heard.losses) >= 2, seconds=60)
    assert {account(notice.lost) for notice in network.heard.losses} == {leader.node.account}
    assert {notice.unlinked for notice in network.heard.losses} == {True}
    await leader.sessions.handle(await network.replace(leader))
    await until(lambda: network.states == {"done"})
    assert set(generation_results(network, 1)) == {0, 1, 2}
    assert network.heard.failures == []


async def test_a_peer_with_an_address_that_is_not_its_own_wastes_no_attempt(network: Network) -> None:
    leader = min(network.query.order.mpcs, key=str.lower)
    liar = next(agent for agent in network.mpcs if agent.node.account != leader)
    object.__setattr__(liar.context, "host", "127.0.0.2")
    await network.dispatch()
    await until(lambda: network.heard.losses, seconds=30)
    assert {account(notice.lost) for notice in network.heard.losses if notice.unlinked} == {liar.node.account}
    assert {agent.session.fence.attempt for agent in network.agents} == {1}
    assert {agent.state for agent in network.agents} == {"joined"}


async def test_a_leader_believes_only_what_a_peer_signed_for_this_attempt_and_no_flood(
    network: Network,
) -> None:
    hold_after_epoch(network, 2)
    await network.dispatch()
    await until_kept(network, 2)
    leader, peer, other = network.mpcs
    assert leader.session is not None
    assert peer.session is not None
    fence = peer.session.fence
    reply = await peer.session.join(fence)
    assert leader.session.is_credible(fence, peer.node.account, reply)
    assert not leader.session.is_credible(fence, other.node.account, reply)
    assert not leader.session.is_credible(Fence(0, fence.attempt + 1), peer.node.account, reply)
    reply.checkpoints.extend([reply.checkpoints[0]] * KEPT)
    assert not leader.session.is_credible(fence, peer.node.account, reply)
