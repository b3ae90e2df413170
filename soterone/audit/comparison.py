"""What a coordinator tells over REST, beside what the chain gives: every difference by name.

It asks as anybody may; queries, which a coordinator shows to their customer alone, only with a token.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from soterone.audit.headers import header_at
from soterone.audit.lifecycles import Lifecycle
from soterone.audit.replay import Replay
from soterone.audit.report import Check, Finding
from soterone.audit.trail import moment, values_since
from soterone.chain.client import ChainClient
from soterone.chain.records import Block, Contracts, NodeRecord, NodeStatus, QueryStatus
from soterone.chain.reputation_history import read_history
from soterone.client.transport import Transport
from soterone.crypto.accounts import account
from soterone.domain.ids import Account, QueryId
from soterone.domain.reputation import Record, advance, expectation, lower_bound, score
from soterone.domain.roles import unpack_version
from soterone.rest.catalog import NodeEntry, NodeList, ReputationStep, ReputationView
from soterone.rest.network import NetworkDescription
from soterone.rest.queries import QueryList, QueryView

_HISTORY = 100
_SPAN_BLOCKS = 32
_BEFORE_DISPATCH = ("proposed", "reserved")
_STATUSES = {
    QueryStatus.DISPATCHED: ("dispatched", "running", "recovering", "delivering"),
    QueryStatus.COMPLETED: ("completed",),
    QueryStatus.COMPLETED_CLEANED: ("completed",),
    QueryStatus.FAILED: ("failed", "cancelled"),
    QueryStatus.FAILED_CLEANED: ("failed", "cancelled"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that a coordinator told, asked before the audit, when the chain had `asked_at` blocks; `queries` are
    the customer's, when it has a token."""

    asked_at: int
    network: NetworkDescription
    nodes: tuple[NodeEntry, ...]
    reputations: tuple[ReputationView, ...]
    queries: tuple[QueryView, ...]


def ask(transport: Transport, head_number: int) -> Told:
    """Ask a coordinator while the chain's newest block is `head_number`; ClientError, Refused or Unreachable when it
    does not answer."""
    nodes = tuple(_nodes(transport))
    reputations = tuple(transport.get(f"reputation/{one.account}", ReputationView) for one in nodes)
    queries = tuple(_queries(transport)) if transport.token else ()
    return Told(head_number, transport.get("network", NetworkDescription), nodes, reputations, queries)


@dataclass(frozen=True, slots=True)
class Span:
    """The blocks of which a coordinator may speak: from some before it was asked to the audited one."""

    first: Block
    last: Block


async def compare_with_coordinator(chain: ChainClient, told: Told, replay: Replay, head: Block) -> Check:
    """Name each difference between what was told and what the chain was meanwhile, up to `head`; of an account's
    standing a coordinator names the block."""
    earlier = max(chain.contracts.start_block, min(told.asked_at, head.number) - _SPAN_BLOCKS)
    span = Span((await header_at(chain, earlier)).block, head)
    findings = [*_network(told.network, chain.contracts), *_shown_nodes(told.nodes, replay, span)]
    for entry, view in zip(told.nodes, told.reputations, strict=True):
        findings += _catalog_score(entry, replay, span)
        findings += await _standing(chain, entry, view, replay, span)
        findings += await _history(chain, view, span)
    for query in told.queries:
        findings += _query(query, replay.lifecycles.queries.get(QueryId(query.id)), span)
    examined = 1 + len(told.nodes) + len(told.reputations) + len(told.queries)
    note = "" if told.queries else "no query was shown: sign in with `soter login` to compare your own"
    return Check("the coordinator tells what the chain says", examined, tuple(findings), note)


def _nodes(transport: Transport) -> Iterator[NodeEntry]:
    after: str | None = None
    while True:
        page = transport.get("catalog/nodes", NodeList, after=after, limit=100)
        yield from page.nodes
        after = page.next
        if after is None:
            return


def _queries(transport: Transport) -> Iterator[QueryView]:
    after: str | None = None
    while True:
        page = transport.get("queries", QueryList, after=after)
        yield from page.queries
        after = page.next
        if after is None:
            return


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
        yield from _different(f"{node}", pairs, node)


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
        score(record, epoch) for record in records for epoch in range(epochs[0], epochs[1] + 1)
    }
    yield from _different(f"{node}", {"score in the catalog": (round(entry.score * 1e9), scores)}, node)


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
    return list(_different(f"{node}", pairs, node))


def _newcomer(node: Account, replay: Replay) -> Record:
    return Record(incarnation=replay.scores.book.record_of(node).incarnation)


async def _history(chain: ChainClient, view: ReputationView, span: Span) -> list[Finding]:
    """The coordinator shows the newest steps, newest first; those of the span it may not know yet."""
    node = account(view.account)
    steps = await read_history(chain, node, _HISTORY, span.last.number)
    known = [ReputationStep.of(one) for one in steps]
    told = [one for one in view.history if one.block <= span.last.number]
    oldest = known[-1].block if len(known) == _HISTORY else 0
    differences = [
        f"{node}: the coordinator shows {_words(one)}, the chain has no such step"
        for one in told
        if one.block >= oldest and one not in known
    ]
    differences += [
        f"{node}: the coordinator keeps back {_words(one)}"
        for one in known
        if one.block <= span.first.number and one not in told
    ]
    return [Finding(sentence, (node,)) for sentence in differences]


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
    yield from _different(f"query {query_id}", pairs, query_id)
    present = {account(one.account) for one in told.participants}
    missing = {*known.opening.roster.owners, *known.opening.roster.mpcs} - present
    if missing:
        yield Finding(
            f"query {query_id}: the coordinator leaves out {', '.join(sorted(missing))}", (query_id,)
        )


def _different(
    what: str, pairs: Mapping[str, tuple[object, set[object]]], subject: Account | QueryId
) -> Iterator[Finding]:
    """Complain of what was true at no moment; of several truths the sentence gives one."""
    for name, (told, known) in pairs.items():
        if told not in known:
            given = " or ".join(sorted(map(str, known))[:3])
            yield Finding(f"{what}: the coordinator says {name} {told}, the chain gives {given}", (subject,))


def _words(step: ReputationStep) -> str:
    moved = "" if step.score is None else f" to {step.score / 1e9:.9f}"
    return f"a step ({step.cause}){moved} in block {step.block}"
