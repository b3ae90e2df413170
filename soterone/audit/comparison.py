"""What a coordinator told, beside what the chain gives: every difference by name."""

from collections.abc import Iterator, Mapping

from soterone.audit.asking import Told
from soterone.audit.claims_told import ClaimsKnown, compare_capacity, compare_claims
from soterone.audit.differences import Span, different
from soterone.audit.headers import header_at
from soterone.audit.history import History
from soterone.audit.lifecycles import Lifecycle
from soterone.audit.replay import Replay
from soterone.audit.report import Check, Finding
from soterone.audit.steps_told import StepsKnown, compare_steps
from soterone.audit.trail import moment, values_since
from soterone.chain.client import ChainClient
from soterone.chain.records import Contracts, NodeRecord, NodeStatus, QueryStatus
from soterone.crypto.accounts import account
from soterone.domain.ids import Account, QueryId
from soterone.domain.reputation import Record, advance, expectation, lower_bound, score
from soterone.domain.roles import unpack_version
from soterone.rest.catalog import NodeEntry, ReputationView
from soterone.rest.network import NetworkDescription
from soterone.rest.queries import QueryView

_SPAN_BLOCKS = 32
_BEFORE_DISPATCH = ("proposed", "reserved")
_STATUSES = {
    QueryStatus.DISPATCHED: ("dispatched", "running", "recovering", "delivering"),
    QueryStatus.COMPLETED: ("completed",),
    QueryStatus.COMPLETED_CLEANED: ("completed",),
    QueryStatus.FAILED: ("failed", "cancelled"),
    QueryStatus.FAILED_CLEANED: ("failed", "cancelled"),
}


async def compare_with_coordinator(chain: ChainClient, told: Told, replay: Replay, history: History) -> Check:
    """Name each difference between what was told and what the chain was meanwhile, up to the end of `history`, which
    reaches back to the first block; of an account's standing a coordinator names the block."""
    head = history.head.block
    earlier = max(chain.contracts.start_block, min(told.asked_at, head.number) - _SPAN_BLOCKS)
    span = Span((await header_at(chain, earlier)).block, head)
    claims = ClaimsKnown.of(history, span)
    findings = [
        *_lists(told),
        *_network(told.network, chain.contracts),
        *_shown_nodes(told.nodes, replay, span),
        *compare_capacity(told.nodes, claims, span),
        *compare_claims(told, claims, span),
        *compare_steps(told.reputations, StepsKnown.of(history, span), span),
    ]
    for entry, view in zip(told.nodes, told.reputations, strict=True):
        findings += _catalog_score(entry, replay, span)
        findings += await _standing(chain, entry, view, replay, span)
    findings += _queries_kept_back(told, replay, span)
    for query in told.queries:
        findings += _query(query, replay.lifecycles.queries.get(QueryId(query.id)), span)
    examined = 1 + len(told.nodes) + len(told.reputations) + len(told.queries) + len(told.claims)
    signed_in = told.customer or told.queries
    note = "" if signed_in else "no query was asked for: sign in with `soter login` to compare your own"
    return Check("the coordinator tells what the chain says", examined, tuple(findings), note)


def _lists(told: Told) -> Iterator[Finding]:
    for name in told.endless:
        yield Finding(f"the coordinator's list of {name} goes on for longer than the chain can explain")


def _network(told: NetworkDescription, contracts: Contracts) -> Iterator[Finding]:
    if told.chain_id != contracts.chain_id:
        yield Finding(
            f"the coordinator says that it works on chain {told.chain_id}, not {contracts.chain_id}"
        )
    for name, address in contracts.addresses.items():
        if told.contracts.get(name) != address:
            yield Finding(
                f"the coordinator says that {name} stands at {told.contracts.get(name)}, not {address}"
            )


def _shown_nodes(told: tuple[NodeEntry, ...], replay: Replay, span: Span) -> Iterator[Finding]:
    shown = {account(one.account) for one in told}
    for node in replay.registry.nodes:
        always = all(one and one.status is NodeStatus.ACTIVE for one in _records(node, replay, span))
        if always and node not in shown:
            yield Finding(f"the coordinator does not show node {node}, which is active on chain", (node,))
    for entry in told:
        node = account(entry.account)
        active = [one for one in _records(node, replay, span) if one and one.status is NodeStatus.ACTIVE]
        if not active:
            yield Finding(f"the coordinator shows node {node}, which is not active on chain", (node,))
            continue
        pairs: Mapping[str, tuple[object, set[object]]] = {
            "operator": (account(entry.operator), {known.operator for known in active}),
            "roles": (entry.roles, {int(known.roles) for known in active}),
            "version": (entry.version, {unpack_version(known.version) for known in active}),
        }
        yield from different(f"{node}", pairs, node)


def _records(node: Account, replay: Replay, span: Span) -> list[NodeRecord | None]:
    """All that a node was in a span; None stands for the time before it registered."""
    before = [] if replay.registry.node_at(node, span.first.number) else [None]
    return [*before, *values_since(replay.registry.trail, node, moment(span.first.number))]


def _catalog_score(entry: NodeEntry, replay: Replay, span: Span) -> Iterator[Finding]:
    node, book = account(entry.account), replay.scores.book
    records = list(values_since(replay.scores.trail, node, moment(span.first.number)))
    if replay.scores.record_at(node, span.first.number) is None:
        records.append(_newcomer(node, replay))
    epochs = [time // book.epoch_seconds for time in (span.first.timestamp, span.last.timestamp)]
    scores: set[object] = {
        score(record, max(epoch, record.last_epoch))
        for record in records
        for epoch in range(epochs[0], epochs[1] + 1)
    }
    yield from different(f"{node}", {"score in the catalog": (round(entry.score * 1e9), scores)}, node)


async def _standing(
    chain: ChainClient, entry: NodeEntry, view: ReputationView, replay: Replay, span: Span
) -> list[Finding]:
    """Compare what was told of one account with the records after the block that was named."""
    node, book = account(entry.account), replay.scores.book
    if account(view.account) != node or not span.first.number <= view.block <= span.last.number:
        sentence = (
            f"{node}: the coordinator speaks of {view.account} in block {view.block}, it should speak of this node in "
            f"one of the blocks {span.first.number} to {span.last.number}; if an RPC is behind, audit again"
        )
        return [Finding(sentence, (node,))]
    epoch = (await header_at(chain, view.block)).block.timestamp // book.epoch_seconds
    record = replay.scores.record_at(node, view.block) or _newcomer(node, replay)
    now = advance(record, epoch)
    credibilities: set[object] = {book.credibility_of(node)}
    if view.credibility not in credibilities:
        credibilities.add(await chain.credibility_of(node, view.block))
    pairs: Mapping[str, tuple[object, set[object]]] = {
        "score": (view.score, {score(record, epoch)}),
        "good and bad evidence": ((view.good, view.bad), {(record.good, record.bad)}),
        "expectation": (view.expectation, {expectation(now.good, now.bad)}),
        "lower bound": (view.lower_bound, {lower_bound(now, epoch)}),
        "credibility": (view.credibility, credibilities),
    }
    return list(different(f"{node}", pairs, node))


def _newcomer(node: Account, replay: Replay) -> Record:
    return Record(incarnation=replay.scores.book.record_of(node).incarnation)


def _queries_kept_back(told: Told, replay: Replay, span: Span) -> Iterator[Finding]:
    """A customer that had its account deleted there is shown nothing, and knows why."""
    shown = {QueryId(one.id) for one in told.queries}
    for query_id, query in replay.lifecycles.queries.items() if told.customer else ():
        stood = query.dispatched_block <= span.first.number
        if stood and query.customer == told.customer and query_id not in shown:
            yield Finding(f"the coordinator does not show query {query_id}, which you ordered", (query_id,))


def _query(told: QueryView, known: Lifecycle | None, span: Span) -> Iterator[Finding]:
    query_id = QueryId(told.id)
    if known is None:
        if told.status not in (*_BEFORE_DISPATCH, "cancelled", "failed"):
            yield Finding(
                f"query {query_id} is {told.status} at the coordinator and unknown to the chain", (query_id,)
            )
        return
    ended = _STATUSES[known.status]
    under_way = (*_STATUSES[QueryStatus.DISPATCHED], *_BEFORE_DISPATCH)
    if told.status not in (ended if known.time <= span.first.timestamp else (*ended, *under_way)):
        yield Finding(
            f"query {query_id} is {told.status} at the coordinator and {known.status.name.lower()} on chain",
            (query_id,),
        )
    result = known.opening.result_hash
    results: set[object] = {f"0x{result.hex()}" if result else None}
    spec_hash = f"0x{known.opening.terms.spec_hash.hex()}"
    lately = known.time > span.first.timestamp
    pairs: Mapping[str, tuple[object, set[object]]] = {
        "spec hash": (told.spec_hash, {spec_hash}),
        "generation": (told.generation, set(range(known.generation + 1)) if lately else {known.generation}),
        "result hash": (told.result_hash, results | {None} if lately else results),
    }
    yield from different(f"query {query_id}", pairs, query_id)
    present = {account(one.account) for one in told.participants}
    missing = {*known.opening.roster.owners, *known.opening.roster.mpcs} - present
    if missing:
        yield Finding(
            f"query {query_id}: the coordinator leaves out {', '.join(sorted(missing))}", (query_id,)
        )
