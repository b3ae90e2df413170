"""Agreeing to an order: everything about it is checked once more, against the chain and this node's policy."""

from dataclasses import dataclass
from datetime import UTC, datetime

import grpc.aio

from node_agent.errors import AgentError
from node_agent.sessions.context import AgentContext
from node_agent.sessions.draw import check_draw
from node_agent.sessions.order import (
    Order,
    OrderRefusedError,
    Peer,
    check_order,
    check_peers,
    check_session,
    participant,
)
from node_agent.sessions.plan import choose_columns
from node_agent.sessions.ports import OwnDataset
from node_agent.sessions.reports import fetch_session
from soterone.domain.endpoints import host_of
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, DatasetId
from soterone.domain.roles import pack_version
from soterone.domain.spec import QuerySpec
from soterone.rpc.generated.coordinator_pb2 import SessionDescription


@dataclass(frozen=True, slots=True)
class Terms:
    """A session that this node agreed to. `dataset` is None at an MPC node; `host` is where its engine listens."""

    description: SessionDescription
    spec: QuerySpec
    peers: tuple[Peer, ...]
    dataset: OwnDataset | None
    host: str

    def hosts(self, own: Account) -> dict[Account, str]:
        """Return the host that each participant is known by, this node among them."""
        return {own: self.host} | {peer.account: host_of(peer.endpoint) for peer in self.peers}


def examine(context: AgentContext, description: SessionDescription, *, ask_policy: bool = True) -> Terms:
    """Judge a session by itself, as at an offer; OrderRefusedError says what is wrong with it."""
    spec = check_session(description, context.account)
    own = participant(description, context.account)
    if own is None:
        raise OrderRefusedError("The coordinator offered a query that does not name this node.")
    dataset = own_dataset(context, own.datasets[0]) if own.datasets else None
    if dataset is not None:
        choose_columns(spec, dataset)
    peers = check_peers(
        description, context.account, context.host, context.directory.key_hash, datetime.now(UTC)
    )
    if ask_policy and not (verdict := context.policy.verdict(description)).accepted:
        raise OrderRefusedError(verdict.sentence)
    return Terms(description, spec, tuple(peers), dataset, context.host)


def own_dataset(context: AgentContext, dataset_id: str) -> OwnDataset:
    """Return this owner's table; OrderRefusedError when it does not publish it."""
    try:
        dataset = context.datasets.dataset(DatasetId(dataset_id))
    except AgentError as error:
        raise OrderRefusedError("This node's policy cannot be read at present; try again later.") from error
    if dataset is None:
        sentence = f"The dataset {dataset_id} is not published by this owner (any more)."
        raise OrderRefusedError(sentence, FailureReason.BAD_DATA)
    return dataset


async def agree(context: AgentContext, order: Order, offered: bytes, *, first: bool) -> Terms:
    """Compare the order on chain with the session this node was offered, and judge it.

    Without an offer, in a new generation, or when a peer's certificate was renewed since, the coordinator is asked
    for the session. At the `first` agreement of a generation the policy is asked and the successor's draw repeated.
    """
    terms = _offered(context, order, offered, first) if offered else None
    if terms is None:
        terms = _agreed(context, order, await _fetch(context, order), first)
    if first:
        await check_draw(context, order, pack_version(terms.spec.mpc.minimum_version))
    return terms


def _offered(context: AgentContext, order: Order, offered: bytes, ask_policy: bool) -> Terms | None:
    try:
        return _agreed(context, order, SessionDescription.FromString(offered), ask_policy)
    except OrderRefusedError:
        return None


def _agreed(context: AgentContext, order: Order, description: SessionDescription, ask_policy: bool) -> Terms:
    check_order(order, description)
    return examine(context, description, ask_policy=ask_policy)


async def _fetch(context: AgentContext, order: Order) -> SessionDescription:
    try:
        return await fetch_session(context, order.query_id, order.generation)
    except grpc.aio.AioRpcError as error:
        sentence = f"The coordinator does not describe the ordered query to this node: {error.details()}"
        raise OrderRefusedError(sentence) from error
