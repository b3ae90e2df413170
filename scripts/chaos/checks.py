"""After each cell: do chain, coordinator, agents and customer agree, and is nothing left? Each looks for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.chaos.endings import describe, end_of, repeated, same
from scripts.chaos.expectations import DID_ITS_PART, End
from scripts.chaos.ground import Ground
from scripts.chaos.outcome import Complaint, Verdict
from scripts.chaos.remains import remains_of, sessions_of
from scripts.chaos.watch import Watch
from soterone.audit.auditor import audit
from soterone.chain.client import ChainClient
from soterone.chain.events import (
    Event,
    MPCUpdated,
    QueryFailed,
    QuerySettled,
    ReputationUpdated,
)
from soterone.client.errors import ClientError
from soterone.client.model import Model
from soterone.client.query import Query
from soterone.domain.ids import Account
from soterone.domain.reputation import Record

_WEIGHT_TOLERANCE = 2e-3


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a cell once its query is over and everybody is back.

    `bad_before` is the bad evidence on chain before the query, by node, 1e9 fixed point.
    """

    ground: Ground
    watch: Watch
    query: Query
    ends: tuple[End, ...]
    victims: tuple[Account, ...]
    bad_before: dict[Account, int]
    baseline: Model | None


def complaints_about(facts: Facts) -> list[Complaint]:
    """Return everything that is wrong."""
    events = facts.watch.chain_events()
    end = end_of(events)
    fitting = [one for one in facts.ends if same(one, end)]
    if not fitting:
        expected = " or ".join(describe(one) for one in facts.ends)
        sentence = f"it {describe(end) if end else 'has no end'}; expected: it {expected}"
        return [Complaint(Verdict.WRONG, sentence), *_consistency(facts, events, end)]
    return [*_consistency(facts, events, end), *_conduct(facts, events, fitting[0])]


def _consistency(facts: Facts, events: list[Event], end: End | None) -> Iterator[Complaint]:
    yield from repeated(events)
    yield from _told_by_coordinator(facts, events, end)
    yield from _result(facts, end)
    for kept in sessions_of(facts.ground):
        yield Complaint(Verdict.STUCK, kept)
    for remains in remains_of(facts.ground):
        yield Complaint(Verdict.WRONG, f"left behind: {remains}")
    for contradiction in asyncio.run(_audited(facts.ground)):
        yield Complaint(Verdict.WRONG, f"the audit says: {contradiction}")


def _told_by_coordinator(facts: Facts, events: list[Event], end: End | None) -> Iterator[Complaint]:
    view = facts.query.view()
    replaced = [event for event in events if isinstance(event, MPCUpdated)]
    if end is not None and view.status != end.status:
        yield Complaint(Verdict.WRONG, f"the coordinator says {view.status}, the chain {end.status}")
    if not view.cleaned_up:
        yield Complaint(Verdict.STUCK, "the coordinator does not call it cleaned up")
    if view.generation != len(replaced):
        yield Complaint(
            Verdict.WRONG, f"the coordinator is at generation {view.generation}, not {len(replaced)}"
        )
    if (
        end is not None
        and end.reason is not None
        and (view.failure is None or view.failure.reason != end.reason)
    ):
        yield Complaint(Verdict.WRONG, f"the coordinator gives as failure {view.failure}")
    failed = next((event for event in events if isinstance(event, QueryFailed)), None)
    if failed is not None and failed.node not in facts.victims:
        yield Complaint(Verdict.WRONG, f"the failure names {facts.ground.name_of(failed.node)}")
    for event in replaced:
        if event.old_mpc not in facts.victims:
            yield Complaint(
                Verdict.WRONG, f"{facts.ground.name_of(event.old_mpc)} was replaced, and did not break"
            )
    waiting = facts.watch.rows(
        "SELECT key, state FROM outbox WHERE business_id = :query AND state IN ('due', 'sent')"
    )
    for row in waiting:
        yield Complaint(Verdict.STUCK, f"the transaction {row['key']} is {row['state']}")
    for row in facts.watch.rows("SELECT node FROM reservations WHERE query_id = :query"):
        yield Complaint(Verdict.WRONG, f"{facts.ground.name_of(row['node'])} is still reserved")


def _result(facts: Facts, end: End | None) -> Iterator[Complaint]:
    try:
        model = facts.query.model()
    except ClientError as error:
        if end is not None and end.status == "completed":
            yield Complaint(Verdict.LOST, f"the result does not open: {error}")
        return
    if end is None or end.status != "completed":
        yield Complaint(Verdict.WRONG, "there is a result of a query that did not complete")
    if facts.baseline is not None:
        difference = max(
            abs(model.weights[column] - facts.baseline.weights[column]) for column in model.weights
        )
        if not difference <= _WEIGHT_TOLERANCE:
            yield Complaint(Verdict.WRONG, f"weights differ by {difference:.5f} from an uninterrupted run")


def _conduct(facts: Facts, events: list[Event], end: End) -> Iterator[Complaint]:
    settled = next((event for event in events if isinstance(event, QuerySettled)), None)
    if settled is None:
        return
    bad_after = {one.node: one.bad for one in events if isinstance(one, ReputationUpdated)}
    for node, observed in zip(settled.nodes, settled.observations, strict=True):
        name, before, after = facts.ground.name_of(node), facts.bad_before[node], bad_after.get(node, -1)
        allowed = end.observed if node in facts.victims else {DID_ITS_PART}
        if observed not in allowed:
            yield Complaint(Verdict.WRONG, f"{name} was settled with {observed} %, not {sorted(allowed)}")
        if (after > before) != (observed < DID_ITS_PART) or after < 0:
            yield Complaint(
                Verdict.WRONG,
                f"{name} was settled with {observed} %; its bad evidence went from {before} to {after}",
            )


def bad_evidence(ground: Ground) -> dict[Account, int]:
    """Return the bad evidence that stands on chain against each agent, 1e9 fixed point."""

    async def read() -> dict[Account, int]:
        async with await ChainClient.connect(ground.network.rpc_url, ground.contracts) as chain:
            nodes = [agent.account for agent in ground.network.agents.values()]
            return {node: Record(*await chain.record_of(node)).bad for node in nodes}

    return asyncio.run(read())


async def _audited(ground: Ground) -> list[str]:
    async with await ChainClient.connect(ground.network.rpc_url, ground.contracts) as chain:
        report = await audit(chain)
    return [sentence for check in report.checks for sentence in check.contradictions]
