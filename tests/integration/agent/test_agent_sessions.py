"""Five agents carry a query from the order to the cleanup over real mutual TLS; the engine is rehearsed."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest_asyncio
from eth_utils import keccak
from fixtures.participants import LEDGER, POSITION, new_query
from fixtures.query_agents import QUICK
from fixtures.query_network import NOBODY, Network, leftovers, network_of
from fixtures.recording_coordinator import until

from node_agent.engines.base import EngineError, PrepareJob, TrainJob
from node_agent.sessions.ports import SessionLimits, Verdict
from soterone.chain.events import QueryCompleted
from soterone.chain.records import QueryStatus
from soterone.crypto.accounts import Signer, account
from soterone.crypto.messages import CleanupDone, ResultShare, recover
from soterone.crypto.sealing import share_context
from soterone.domain.failures import FailureReason
from soterone.domain.ids import hash32, query_id


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with network_of(new_query(), tmp_path) as made:
        yield made


async def test_a_query_runs_from_the_order_to_the_signed_cleanup(network: Network) -> None:
    await network.offer()
    started = time.monotonic()
    await network.dispatch()
    await until(lambda: network.states == {"done"})
    assert time.monotonic() - started < 20
    await check_results(network)
    await until(lambda: {"accepted", "linked", "deliver"} <= {one.phase for one in network.heard.progress})
    assert leftovers(network)
    await network.clean_up()
    await until(lambda: len(network.heard.cleanups) == 5)
    await until(lambda: all(agent.session is None for agent in network.agents))
    assert leftovers(network) == []
    assert [agent.context.store.sessions() for agent in network.agents] == [[]] * 5
    check_promises(network)


async def check_results(network: Network) -> None:
    query, results = network.query, sorted(network.heard.results, key=lambda result: result[0].rank)
    assert [header.rank for header, _ in results] == [0, 1, 2, 255, 255]
    for header, sealed in results:
        assert header.share_hash == keccak(sealed)
        assert header.size_bytes == len(sealed)
        message = ResultShare(query.id, 0, header.rank, header.share_hash)
        signed_by = recover(LEDGER, message, header.signature)
        plain = query.result_key.open(sealed, share_context(query.id, 0, header.rank))
        if header.rank == 255:
            assert plain.startswith(b'{"owner":')
        else:
            assert signed_by == query.mpcs[header.rank].account
            assert plain == f"0{header.rank}|1{header.rank}".encode()


def check_promises(network: Network) -> None:
    signed = {
        recover(LEDGER, CleanupDone(network.query.id, promise.deadline), promise.signature)
        for promise in network.heard.cleanups
    }
    assert signed == {agent.node.account for agent in network.agents}


async def test_an_agent_without_the_offer_asks_the_coordinator(network: Network) -> None:
    await network.dispatch()
    await until(lambda: network.states == {"done"})
    assert len(network.heard.results) == 5


async def test_an_order_that_is_repeated_or_is_for_others_changes_nothing(network: Network) -> None:
    await network.offer()
    await network.dispatch()
    await network.dispatch()
    await until(lambda: network.states == {"done"})
    await network.dispatch()
    other = replace(network.query.event(), query_id=query_id(b"\xcd" * 32), owners=(), mpcs=())
    await network.agents[0].sessions.handle(other)
    assert [len(agent.sessions.query_ids()) for agent in network.agents] == [1] * 5
    assert [len(agent.engine.jobs) for agent in network.agents] == [1] * 5


async def test_engines_that_do_not_link_are_tried_once_more(network: Network) -> None:
    def refuse_first(job: PrepareJob | TrainJob) -> None:
        if job.link.attempt == 1:
            raise EngineError(FailureReason.ENGINE_ERROR, "The computing parties could not link.")

    network.mpcs[2].engine.before = refuse_first
    await network.offer()
    await network.dispatch()
    await until(lambda: network.states == {"done"})
    assert [job.link.attempt for job in network.mpcs[2].engine.jobs] == [1, 2]
    assert network.heard.failures == []
    assert len(network.heard.results) == 5
    await check_results(network)


async def test_after_two_attempts_without_a_link_the_query_fails(network: Network) -> None:
    def refuse(job: PrepareJob | TrainJob) -> None:
        raise EngineError(FailureReason.ENGINE_ERROR, "The computing parties could not link.")

    for agent in network.mpcs:
        agent.engine.before = refuse
    await network.offer()
    await network.dispatch()
    await until(lambda: network.states == {"failed"})
    await until(lambda: network.heard.failures)
    assert {one.reason for one in network.heard.failures} == {FailureReason.ENGINE_ERROR}
    assert "could not compute together" in network.heard.failures[0].sentence
    assert len(network.mpcs[1].engine.jobs) == 2


async def test_a_query_that_breaks_engines_is_quarantined(network: Network) -> None:
    def crash(job: PrepareJob | TrainJob) -> None:
        raise EngineError(FailureReason.ENGINE_ERROR, "The engine ended before its work was done.")

    for agent in network.mpcs:
        agent.engine.after = lambda job: asyncio.sleep(60)
    network.mpcs[1].engine.after = crash
    await network.offer()
    await network.dispatch()
    await until(lambda: network.states == {"failed"}, seconds=60)
    await until(lambda: network.heard.failures)
    assert network.heard.failures[0].reason == FailureReason.QUARANTINED
    assert "broke 5 times" in network.heard.failures[0].sentence
    assert len(network.mpcs[1].engine.jobs) == 5


async def test_bad_data_ends_the_query_for_all_with_its_sentence(network: Network) -> None:
    sentence = "The column 'age' has missing values: fill them in or leave out the rows."

    def refuse(job: PrepareJob | TrainJob) -> None:
        raise EngineError(FailureReason.BAD_DATA, sentence)

    network.agents[0].engine.before = refuse
    await network.offer()
    await network.dispatch()
    await until(lambda: network.states == {"failed"})
    await until(lambda: len(network.heard.failures) == 5)
    source, *witnesses = network.heard.failures
    assert (source.reason, source.sentence) == (FailureReason.BAD_DATA, sentence)
    heard = f"The node {network.agents[0].node.account} ended the query: {sentence}"
    assert not source.heard
    assert {(one.reason, one.sentence, one.heard) for one in witnesses} == {
        (FailureReason.BAD_DATA, heard, True)
    }
    assert network.heard.results == []
    await network.fail_on_chain()
    await until(lambda: all(agent.session is None for agent in network.agents))
    assert leftovers(network) == []
    check_promises(network)


async def test_a_witness_reports_when_the_source_keeps_silent(network: Network) -> None:
    for agent in network.agents:
        agent.engine.before = lambda job: asyncio.sleep(60)
    await network.offer()
    await network.dispatch()
    await until(lambda: network.states == {"running"})
    witness, source = network.mpcs[0], network.agents[0].node.account
    await witness.session.aborted(witness.session.fence, source, FailureReason.BAD_DATA, "Bad column.")
    assert network.heard.failures == []
    await until(lambda: network.heard.failures)
    told = network.heard.failures[0]
    assert (told.reason, told.heard) == (FailureReason.BAD_DATA, True)
    assert told.sentence == f"The node {source} ended the query: Bad column."


async def test_a_policy_that_changed_its_mind_refuses_the_order(network: Network) -> None:
    await network.offer()
    network.agents[0].rules.answer = Verdict(False, "This node does not serve the purpose 'research'.")
    await network.dispatch()
    await until(lambda: network.heard.failures)
    assert network.heard.failures[0].reason == FailureReason.POLICY_REFUSED
    assert network.heard.failures[0].sentence == "This node does not serve the purpose 'research'."
    assert network.agents[0].engine.jobs == []
    await network.fail_on_chain()
    await until(lambda: all(agent.session is None for agent in network.agents))


async def test_an_owner_tells_whose_nodes_it_accepts_and_an_mpc_node_does_not(network: Network) -> None:
    operators = (Signer.new().account, Signer.new().account)
    for agent in (network.agents[0], network.mpcs[0]):
        agent.rules.accepted_mpc_operators = operators
    told = [await agent.offer() for agent in (network.agents[0], network.agents[1], network.mpcs[0])]
    assert [account(one) for one in told[0].accepted_operators] == list(operators)
    assert [list(one.accepted_operators) for one in told[1:]] == [[], []]


async def test_a_failure_is_told_when_the_coordinator_is_back(network: Network) -> None:
    def refuse(job: PrepareJob | TrainJob) -> None:
        raise EngineError(FailureReason.BAD_DATA, "The column 'age' has missing values.")

    network.agents[0].engine.before = refuse
    await network.offer()
    await network.coordinator.stop()
    await network.dispatch()
    await until(lambda: network.states == {"failed"})
    await network.coordinator.start()
    await until(lambda: len(network.heard.failures) == 5)
    (own,) = [one for one in network.heard.failures if not one.heard]
    assert own.sentence == "The column 'age' has missing values."


async def test_a_spec_whose_hash_differs_is_refused(network: Network) -> None:
    false = replace(network.query, spec=network.query.spec.model_copy(update={"purpose": "marketing"}))
    network.coordinator.description = false.description()
    await network.agents[0].sessions.handle(network.query.event())
    await until(lambda: network.heard.failures)
    assert "spec differs from the order on chain" in network.heard.failures[0].sentence


async def test_a_node_that_is_away_fails_nothing_and_is_waited_for(network: Network) -> None:
    await network.offer()
    away = network.agents[1]
    await away.stop()
    for agent in network.agents[:1] + network.mpcs:
        await agent.sessions.handle(network.query.event())
    await until(lambda: {agent.state for agent in network.mpcs} == {"joined"})
    await asyncio.sleep(4 * QUICK.longest_seconds)
    assert network.heard.failures == []
    await away.start()
    await away.sessions.handle(network.query.event())
    await until(lambda: network.states == {"done"})


async def test_delivery_is_tried_again_until_the_coordinator_takes_it(network: Network) -> None:
    network.coordinator.refuse_results = 4
    await network.offer()
    await network.dispatch()
    await until(lambda: network.states == {"done"})
    assert len(network.heard.results) == 5


async def test_the_coordinator_may_be_away_while_the_query_runs(network: Network) -> None:
    await network.offer()
    await network.coordinator.stop()
    await network.dispatch()
    await until(lambda: network.states == {"delivering"})
    await network.coordinator.start()
    await until(lambda: network.states == {"done"})
    assert len(network.heard.results) == 5


async def test_t1_ends_the_delivery_and_t2_the_session_without_a_coordinator(tmp_path: Path) -> None:
    query = new_query()
    query.result_retry_seconds, query.cleanup_grace_seconds = 1, 1
    async with network_of(query, tmp_path) as network:
        await network.offer()
        await network.coordinator.stop()
        await network.dispatch()
        await until(lambda: network.states == {"done"})
        await until(lambda: network.states == {"cleaned"})
        assert leftovers(network) == []
        await network.coordinator.start()
        await until(lambda: len(network.heard.cleanups) == 5)


async def test_contact_with_the_coordinator_puts_off_the_cleanup_without_its_word(tmp_path: Path) -> None:
    query = new_query()
    query.result_retry_seconds, query.cleanup_grace_seconds = 1, 1
    async with network_of(query, tmp_path) as network:
        network.agents[0].last_contact = time.monotonic() + 60
        await network.offer()
        await network.dispatch()
        await until(lambda: {agent.state for agent in network.mpcs} <= {"cleaned", ""})
        assert network.agents[0].state == "done"


async def test_a_query_that_runs_too_long_times_out(tmp_path: Path) -> None:
    query = new_query()
    query.max_run_seconds = 1
    async with network_of(query, tmp_path) as network:
        network.mpcs[1].engine.before = lambda job: asyncio.sleep(60)
        await network.offer()
        await network.dispatch()
        await until(lambda: network.heard.failures)
        assert {one.reason for one in network.heard.failures} == {FailureReason.TIMED_OUT}
        await until(lambda: {agent.state for agent in network.mpcs} == {"failed"})
        assert not [agent.session._attempt for agent in network.agents if agent.session._attempt]


async def test_a_result_that_was_computed_is_delivered_after_a_restart(network: Network) -> None:
    await network.offer()
    await network.coordinator.stop()
    await network.dispatch()
    await until(lambda: network.states == {"delivering"})
    for agent in network.agents:
        await agent.stop()
    await network.coordinator.start()
    for agent in network.agents:
        await agent.start()
    await until(lambda: len(network.heard.results) == 5)
    await check_results(network)


async def test_an_owner_that_restarts_before_the_link_joins_again(network: Network) -> None:
    hold = asyncio.Event()
    network.agents[0].engine.before = lambda job: hold.wait()
    network.agents[1].engine.before = lambda job: hold.wait()
    await network.offer()
    await network.dispatch()
    await until(lambda: network.agents[0].state == "running")
    await network.agents[0].stop()
    hold.set()
    network.agents[0].engine.before = None
    await network.agents[0].start()
    await until(lambda: network.states == {"done"})
    assert [job.link.attempt for job in network.agents[0].engine.jobs] == [1, 2]
    assert len(network.heard.results) == 5


async def test_a_query_that_ended_while_the_agent_was_down_is_cleaned_up(network: Network) -> None:
    hold = asyncio.Event()
    network.agents[0].engine.before = lambda job: hold.wait()
    await network.offer()
    await network.dispatch()
    await until(lambda: network.agents[0].state == "running")
    await network.agents[0].stop()
    network.agents[0].chain.status = QueryStatus.FAILED
    await network.agents[0].start()
    await until(lambda: network.heard.cleanups)
    assert not list(network.agents[0].context.workspaces.root.iterdir())


async def test_completion_on_chain_ends_the_third_nodes_work(network: Network) -> None:
    network.mpcs[2].engine.after = lambda job: asyncio.sleep(60)
    await network.offer()
    await network.dispatch()
    await until(lambda: len(network.heard.results) == 4)
    assert network.mpcs[2].state == "running"
    event = QueryCompleted(POSITION, query_id(network.query.id), 0, hash32(bytes(32)))
    for agent in network.agents:
        await agent.sessions.handle(event)
    await until(lambda: network.states == {"done"})
    assert {header.rank for header, _ in network.heard.results} == {0, 1, 255}


async def test_offers_are_bounded_by_capacity_and_expire(network: Network) -> None:
    agent = network.agents[0]
    agent.context = replace(agent.context, limits=SessionLimits(max_sessions=1))
    agent.sessions._context = agent.context
    assert (await agent.offer()).accepted
    assert (await agent.offer()).accepted
    second = replace(network.query, id=b"\xee" * 32)
    agent.query = second
    answer = await agent.offer()
    assert not answer.accepted
    assert "as many as it can" in answer.sentence
    await agent.sessions.release(query_id(network.query.id))
    assert (await agent.offer()).accepted
    assert agent.sessions.query_ids() == [query_id(second.id)]


async def test_an_offer_that_lapsed_leaves_nothing(network: Network) -> None:
    agent, now = network.agents[0], time.monotonic()
    agent.sessions._context = replace(agent.context, clock=lambda: now)
    assert (await agent.offer()).accepted
    now += 61
    assert agent.sessions.query_ids() == []
    assert agent.context.store.sessions() == []


async def test_a_foolish_offer_is_refused_in_words(network: Network) -> None:
    agent = network.agents[0]
    agent.query = replace(network.query, customer=NOBODY, id=b"short")
    answer = await agent.offer()
    assert not answer.accepted
    assert answer.sentence
    agent.query = replace(network.query, authority=network.query.authority, owners=network.query.owners[:1])
    answer = await agent.offer()
    assert "two data owners" in answer.sentence
    assert account(network.query.description().customer) != Signer.new().account
