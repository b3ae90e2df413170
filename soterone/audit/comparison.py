"""What a coordinator tells over REST, beside what the chain gives: every difference by name.

It asks as anybody may; queries, which a coordinator shows to their customer alone, only with a token.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from soterone.audit.lifecycles import Lifecycle
from soterone.audit.replay import Replay
from soterone.audit.report import Check, Finding
from soterone.chain.client import ChainClient
from soterone.chain.events import ReputationUpdated
from soterone.chain.records import Block, Contracts, NodeStatus, QueryStatus
from soterone.client.transport import Transport
from soterone.crypto.accounts import account, account_bytes
from soterone.domain.ids import Account, Hash32, QueryId, hash32
from soterone.domain.roles import unpack_version
from soterone.rest.catalog import NodeEntry, NodeList, ReputationStep, ReputationView
from soterone.rest.network import NetworkDescription
from soterone.rest.queries import QueryList, QueryView

_HISTORY = 100
_BEFORE_DISPATCH = ("proposed", "reserved")
_ENDED = {
    QueryStatus.DISPATCHED: ("dispatched", "running", "recovering", "delivering"),
    QueryStatus.COMPLETED: ("completed",),
    QueryStatus.COMPLETED_CLEANED: ("completed",),
    QueryStatus.FAILED: ("failed", "cancelled"),
    QueryStatus.FAILED_CLEANED: ("failed", "cancelled"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that a coordinator told, asked before the audit; `queries` are the customer's, when it has a token."""

    network: NetworkDescription
    nodes: tuple[NodeEntry, ...]
    reputations: tuple[ReputationView, ...]
    queries: tuple[QueryView, ...]


def ask(transport: Transport) -> Told:
    """Ask a coordinator; ClientError, Refused or Unreachable when it does not answer."""
    nodes = tuple(_nodes(transport))
    reputations = tuple(transport.get(f"reputation/{one.account}", ReputationView) for one in nodes)
    queries = tuple(_queries(transport)) if transport.token else ()
    return Told(transport.get("network", NetworkDescription), nodes, reputations, queries)


async def compare_with_coordinator(chain: ChainClient, told: Told, replay: Replay, head: Block) -> Check:
    """Name each difference between what was told and the chain up to `head`."""
    findings = [*_network(told.network, chain.contracts), *_shown_nodes(told.nodes, replay)]
    for entry, view in zip(told.nodes, told.reputations, strict=True):
        findings += _standing(entry, view, replay, head)
        findings += await _history(chain, view, head)
    for query in told.queries:
        findings += _query(query, replay.lifecycles.queries.get(QueryId(query.id)))
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


def _shown_nodes(told: tuple[NodeEntry, ...], replay: Replay) -> Iterator[Finding]:
    shown = {account(one.account) for one in told}
    for node, record in replay.registry.nodes.items():
        if record.status is NodeStatus.ACTIVE and node not in shown:
            yield Finding(f"the coordinator does not show node {node}, which is active on chain", (node,))
    for one in told:
        node = account(one.account)
        known = replay.registry.nodes.get(node)
        if known is None or known.status is not NodeStatus.ACTIVE:
            yield Finding(f"the coordinator shows node {node}, which is not active on chain", (node,))
            continue
        pairs: Mapping[str, tuple[object, object]] = {
            "operator": (account(one.operator), known.operator),
            "roles": (one.roles, int(known.roles)),
            "version": (one.version, unpack_version(known.version)),
        }
        yield from _different(f"{node}", pairs, node)


def _standing(entry: NodeEntry, view: ReputationView, replay: Replay, head: Block) -> Iterator[Finding]:
    node, book = account(entry.account), replay.scores.book
    record, score = book.record_of(node), book.score_of(node, head.timestamp)
    pairs: Mapping[str, tuple[object, object]] = {
        "score in the catalog": (round(entry.score * 1e9), score),
        "score": (view.score, score),
        "good evidence": (view.good, record.good),
        "bad evidence": (view.bad, record.bad),
        "credibility": (view.credibility, book.credibility_of(node)),
    }
    yield from _different(f"{node}", pairs, node)


async def _history(chain: ChainClient, view: ReputationView, head: Block) -> list[Finding]:
    """The coordinator shows the newest updates, newest first."""
    node = account(view.account)
    topic = hash32(bytes(12) + account_bytes(node))
    events = await chain.events_about(topic, chain.contracts.start_block, head.number)
    updates = [one for one in events if isinstance(one, ReputationUpdated) and one.node == node]
    expected = [_step(one) for one in reversed(updates)][:_HISTORY]
    told = [one for one in view.history if one.block <= head.number]
    differences = [
        f"{node}: the coordinator shows {_words(one)}, the chain has no such update"
        for one in told
        if one not in expected
    ]
    differences += [
        f"{node}: the coordinator keeps back {_words(one)}" for one in expected if one not in told
    ]
    return [Finding(sentence, (node,)) for sentence in differences]


def _query(told: QueryView, known: Lifecycle | None) -> Iterator[Finding]:
    query_id = QueryId(told.id)
    if known is None:
        if told.status not in (*_BEFORE_DISPATCH, "cancelled", "failed"):
            yield Finding(
                f"query {query_id} is {told.status} at the coordinator and unknown to the chain", (query_id,)
            )
        return
    if told.status not in _ENDED[known.status]:
        yield Finding(
            f"query {query_id} is {told.status} at the coordinator and {known.status.name.lower()} on chain",
            (query_id,),
        )
    result = known.opening.result_hash
    pairs: Mapping[str, tuple[object, object]] = {
        "spec hash": (told.spec_hash, f"0x{known.opening.terms.spec_hash.hex()}"),
        "generation": (told.generation, known.generation),
        "result hash": (told.result_hash, f"0x{result.hex()}" if result else None),
    }
    yield from _different(f"query {query_id}", pairs, query_id)
    present = {account(one.account) for one in told.participants}
    missing = {*known.opening.roster.owners, *known.opening.roster.mpcs} - present
    if missing:
        yield Finding(
            f"query {query_id}: the coordinator leaves out {', '.join(sorted(missing))}", (query_id,)
        )


def _different(
    what: str, pairs: Mapping[str, tuple[object, object]], subject: Account | QueryId
) -> Iterator[Finding]:
    for name, (told, known) in pairs.items():
        if told != known:
            yield Finding(f"{what}: the coordinator says {name} {told}, the chain gives {known}", (subject,))


def _step(event: ReputationUpdated) -> ReputationStep:
    position = event.position
    return ReputationStep(
        query_id=event.query_id, block=position.block_number, tx=Hash32(position.transaction_hash),
        score=event.score, good=event.good, bad=event.bad,
    )  # fmt: skip


def _words(step: ReputationStep) -> str:
    return f"an update to {step.score / 1e9:.9f} in block {step.block}"
