"""What a coordinator tells over REST: asked as anybody may; queries, which it shows to their customer alone, only with
a token. No list is read further than the chain can explain, so that one without an end ends too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from soterone.audit.history import logs_between
from soterone.chain.client import ChainClient
from soterone.chain.events import ClaimUpheld, NodeRegistered, QueryDispatched
from soterone.client.transport import Transport
from soterone.crypto.accounts import account
from soterone.domain.ids import Account
from soterone.rest.catalog import ClaimList, ClaimView, NodeEntry, NodeList, ReputationView
from soterone.rest.network import NetworkDescription
from soterone.rest.queries import QueryList, QueryView

NODES_MEANWHILE = 100
"""So many nodes may register while a coordinator is asked."""

UNDISPATCHED_QUERIES = 10_000
"""So many queries that never reached the chain are read of a customer's list."""

_PAGE = 100

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Known:
    """What the chain knew before a coordinator was asked: its height, how many registrations and dispatched queries
    there were, and who was accused."""

    head_number: int
    registrations: int = 0
    dispatched: int = 0
    accused: frozenset[Account] = frozenset()


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that a coordinator told, asked before the audit, when the chain had `asked_at` blocks; `queries` are
    those of `customer`, which has a token (None: nobody asked for queries), `claims` by the accused. `endless` says
    which lists went on for longer than they can."""

    asked_at: int
    network: NetworkDescription
    nodes: tuple[NodeEntry, ...]
    reputations: tuple[ReputationView, ...]
    queries: tuple[QueryView, ...]
    claims: Mapping[Account, tuple[ClaimView, ...]] = field(default_factory=dict)
    endless: tuple[str, ...] = ()
    customer: Account | None = None


async def what_is_known(chain: ChainClient) -> Known:
    """Count what a coordinator may have to tell of; ChainError when the chain cannot be read."""
    head, first = (await chain.head()).number, chain.contracts.start_block
    logs = await logs_between(chain, first, head, (NodeRegistered, QueryDispatched, ClaimUpheld))
    events = chain.reading(logs).events
    return Known(
        head,
        sum(isinstance(one, NodeRegistered) for one in events),
        sum(isinstance(one, QueryDispatched) for one in events),
        frozenset(one.node for one in events if isinstance(one, ClaimUpheld)),
    )


def ask(transport: Transport, known: Known, customer: Account | None = None) -> Told:
    """Ask a coordinator, `customer` being whose token the transport has; ClientError, Refused or Unreachable when it
    does not answer."""
    entries, nodes_end = _nodes(transport, known.registrations + NODES_MEANWHILE)
    nodes = tuple({one.model_dump_json(): one for one in entries}.values())
    queries, queries_end = (
        _queries(transport, known.dispatched + UNDISPATCHED_QUERIES) if transport.token else ((), True)
    )
    shown = {account(one.account) for one in nodes}
    accused = sorted(shown | known.accused)
    reputations = {one: transport.get(f"reputation/{one}", ReputationView) for one in sorted(shown)}
    return Told(
        known.head_number,
        transport.get("network", NetworkDescription),
        nodes,
        tuple(reputations[account(one.account)] for one in nodes),
        queries,
        {one: tuple(transport.get(f"reputation/{one}/claims", ClaimList).claims) for one in accused},
        tuple(name for name, ends in (("nodes", nodes_end), ("queries", queries_end)) if not ends),
        customer,
    )


def _nodes(transport: Transport, most: int) -> tuple[tuple[NodeEntry, ...], bool]:
    def page(after: str | None) -> tuple[Sequence[NodeEntry], str | None]:
        found = transport.get("catalog/nodes", NodeList, after=after, limit=_PAGE)
        return found.nodes, found.next

    return _pages(page, most)


def _queries(transport: Transport, most: int) -> tuple[tuple[QueryView, ...], bool]:
    def page(after: str | None) -> tuple[Sequence[QueryView], str | None]:
        found = transport.get("queries", QueryList, after=after)
        return found.queries, found.next

    return _pages(page, most)


def _pages(
    page: Callable[[str | None], tuple[Sequence[Entry], str | None]], most: int
) -> tuple[tuple[Entry, ...], bool]:
    """Return the entries of a list, no more than `most`, and whether it ended by then. A page without entries that
    names another one has no end."""
    found: list[Entry] = []
    after: str | None = None
    while True:
        entries, after = page(after)
        found += entries
        if after is None or not entries or len(found) > most:
            return tuple(found[:most]), after is None and len(found) <= most
