"""The audit: replay what was emitted, then ask the contracts' storage whether it says the same.

It trusts the RPC that it reads from, and says so: anchoring storage by proofs against a second source is not done here.
"""

from collections.abc import Iterable
from dataclasses import astuple

from soterone.audit.history import History, read_history
from soterone.audit.lifecycles import LifecycleReplay, replay_lifecycles
from soterone.audit.registry import RegistryReplay, replay_registry
from soterone.audit.report import Check, Report
from soterone.audit.scores import ScoreReplay, replay_scores
from soterone.chain.client import ChainClient
from soterone.chain.records import QueryState


async def audit(chain: ChainClient) -> Report:
    """Audit one deployment from its first block to the head. ChainError when the chain cannot be read."""
    history = await read_history(chain)
    registry, lifecycles = replay_registry(history.events), replay_lifecycles(history)
    scores = replay_scores(history, *await chain.periods())
    checks = (
        Check("registrations follow each other", len(registry.nodes), tuple(registry.contradictions)),
        await _registry_storage(chain, registry),
        Check("queries keep the lifecycle", len(lifecycles.queries), tuple(lifecycles.contradictions)),
        await _query_storage(chain, lifecycles),
        Check("scores follow the formula", scores.examined, tuple(scores.contradictions)),
        await _record_storage(chain, scores),
        await _current_scores(chain, history, scores),
        await _credibility_storage(chain, scores),
    )
    head = history.head
    return Report(chain.contracts.chain_id, head.number, head.hash, len(history.events), checks)


async def _registry_storage(chain: ChainClient, replay: RegistryReplay) -> Check:
    wrong = [
        f"the registry holds {stored} of {node}, its events give {expected}"
        for node, expected in replay.nodes.items()
        if (stored := await chain.node_of(node)) != expected
    ]
    return Check("the registry holds what was announced", len(replay.nodes), tuple(wrong))


async def _query_storage(chain: ChainClient, replay: LifecycleReplay) -> Check:
    wrong = []
    for query_id, expected in replay.queries.items():
        state = await chain.status_of(query_id)
        announced = QueryState(expected.status, expected.generation, expected.time)
        if state != announced:
            wrong.append(f"query {query_id} is {state} on chain, its events give {announced}")
        if await chain.commitment_of(query_id) != expected.opening.commitment():
            wrong.append(
                f"query {query_id} commits to other participants, terms or result than were announced"
            )
    return Check("the query ledger holds what was announced", len(replay.queries), tuple(wrong))


async def _record_storage(chain: ChainClient, replay: ScoreReplay) -> Check:
    wrong = [
        f"the record of {node} is {stored}, the formula gives {astuple(expected)}"
        for node, expected in replay.book.records.items()
        if (stored := await chain.record_of(node)) != astuple(expected)
    ]
    return Check("the reputation ledger holds what was computed", len(replay.book.records), tuple(wrong))


async def _current_scores(chain: ChainClient, history: History, replay: ScoreReplay) -> Check:
    """Scores decay with the chain's time; a block that opens a new epoch meanwhile is no contradiction."""
    nodes = list(replay.book.records)
    shown = await chain.scores_of(nodes)
    now = (await chain.head()).timestamp
    wrong = [
        f"{node} shows {score / 1e9:.9f}, the formula gives {replay.book.score_of(node, now) / 1e9:.9f}"
        for node, score in zip(nodes, shown, strict=True)
        if score not in (replay.book.score_of(node, time) for time in _times(history, now))
    ]
    return Check("today's scores are the records' decayed", len(nodes), tuple(wrong))


def _times(history: History, now: int) -> Iterable[int]:
    return range(history.head.timestamp, now + 1)


async def _credibility_storage(chain: ChainClient, replay: ScoreReplay) -> Check:
    wrong = [
        f"the credibility of {customer} is {stored}, the formula gives {standing.credibility}"
        for customer, standing in replay.book.standings.items()
        if (stored := await chain.credibility_of(customer)) != standing.credibility
    ]
    return Check("credibility follows the formula", len(replay.book.standings), tuple(wrong))
