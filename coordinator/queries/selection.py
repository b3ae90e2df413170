"""Who shall take part: the owners of the spec's datasets, and three MPC nodes named by the customer or drawn."""

import asyncio
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.models.nodes import Node, NodeStatus
from coordinator.nodes import repository as nodes
from coordinator.queries.errors import NodeUnusable, NotEnoughNodes
from coordinator.queries.validation import KnownDataset
from coordinator.resources import service as resources
from coordinator.resources.demand import Demand
from soterone.chain.client import ChainClient
from soterone.crypto.accounts import account as checksummed
from soterone.domain.candidates import Candidate, TooFewCandidatesError, choose
from soterone.domain.ids import Account
from soterone.domain.lifecycle import MPC_NODES
from soterone.domain.reputation import Record, lower_bound
from soterone.domain.roles import Role, pack_version, unpack_version
from soterone.domain.spec import QuerySpec

_MOST_CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class Standing:
    """What the draw needs to know of a node's reputation."""

    lower_bound: int
    newcomer: bool


async def standings(chain: ChainClient, accounts: Collection[Account]) -> dict[Account, Standing]:
    """Read the standing of nodes from the chain; never inside a transaction."""
    if not accounts:
        return {}
    asked = list(accounts)[:_MOST_CANDIDATES]
    epoch_seconds, head = await asyncio.gather(chain.epoch_seconds(), chain.head())
    records = await asyncio.gather(*(chain.record_of(one) for one in asked))
    epoch = head.timestamp // epoch_seconds
    return {one: _standing(Record(*record), epoch) for one, record in zip(asked, records, strict=True)}


def _standing(record: Record, epoch: int) -> Standing:
    return Standing(lower_bound(record, max(epoch, record.last_epoch)), record.last_epoch == 0)


async def owners_of(session: AsyncSession, known: Mapping[str, KnownDataset]) -> dict[Account, Node]:
    """Return the datasets' owners; NodeUnusable unless all are active data owners and online."""
    owners = {one.owner for one in known.values()}
    found = await nodes.many(session, owners)
    online = await nodes.online_among(session, owners)
    return {
        owner: _usable(owner, found.get(owner), owner in online, Role.DATA_OWNER) for owner in sorted(owners)
    }


async def named_nodes(
    session: AsyncSession, spec: QuerySpec, owners: Collection[Account]
) -> dict[Account, Node]:
    """Return the three MPC nodes that the customer named; NodeUnusable says which one cannot take part and why."""
    named = [checksummed(node) for node in spec.mpc.nodes]
    found, online = await nodes.many(session, named), await nodes.online_among(session, named)
    chosen = {node: _usable(node, found.get(node), node in online, Role.MPC_NODE) for node in named}
    for account, node in chosen.items():
        if account in owners:
            raise NodeUnusable(
                f"{account} owns data of this query and cannot be its MPC node too; name another"
            )
        if node.version < pack_version(spec.mpc.minimum_version):
            raise NodeUnusable(
                f"MPC node {account} runs version {unpack_version(node.version)}, "
                f"older than {spec.mpc.minimum_version}; name another or lower minimum_version"
            )
    if len({node.operator for node in chosen.values()}) != MPC_NODES:
        raise NodeUnusable("the three MPC nodes must have three different operators; name others")
    return chosen


async def drawn_nodes(
    session: AsyncSession,
    spec: QuerySpec,
    standing: Mapping[Account, Standing],
    unwanted: Collection[Account],
    demand: Demand,
) -> dict[Account, Node]:
    """Draw three MPC nodes that are online, have room and different operators, in the first group that resources prefer
    and that is enough, or else among all; NotEnoughNodes when these are too few."""
    online = await nodes.online(session, Role.MPC_NODE, pack_version(spec.mpc.minimum_version))
    able = {
        Account(one.account): one for one in online if one.account in standing and one.account not in unwanted
    }
    roomy = await resources.with_room(session, list(able), demand)
    candidates = {Account(one): _candidate(able[Account(one)], standing[Account(one)]) for one in roomy}
    for group in await resources.preferred(session, roomy):
        with suppress(TooFewCandidatesError):
            return _three(able, [candidates[Account(one)] for one in group])
    try:
        return _three(able, list(candidates.values()))
    except TooFewCandidatesError as error:
        raise NotEnoughNodes(_shortage(error, len(able) - len(roomy), spec)) from error


def _three(able: Mapping[Account, Node], candidates: Sequence[Candidate]) -> dict[Account, Node]:
    return {one: able[one] for one in choose(secrets.token_bytes(32), candidates, MPC_NODES)}


def _candidate(node: Node, standing: Standing) -> Candidate:
    return Candidate(
        Account(node.account), Account(node.operator), node.version, standing.lower_bound, standing.newcomer
    )


def _shortage(error: TooFewCandidatesError, without_room: int, spec: QuerySpec) -> str:
    busy = f"; {without_room} more have no capacity left" if without_room else ""
    return (
        f"{MPC_NODES} MPC nodes of different operators are needed (version {spec.mpc.minimum_version} or newer, "
        f"online, with capacity), {error.found} can take part now{busy}; try again later or lower minimum_version"
    )


def _usable(account: Account, node: Node | None, online: bool, role: Role) -> Node:
    what = "data owner" if role is Role.DATA_OWNER else "MPC node"
    if node is None or node.status == NodeStatus.PENDING:
        raise NodeUnusable(f"{account} is not a registered node; choose another {what}")
    if not node.roles & role:
        raise NodeUnusable(f"{account} is not registered as {what}; choose another")
    if node.status != NodeStatus.ACTIVE:
        raise NodeUnusable(f"{what} {account} is {node.status}; choose another")
    if not online:
        raise NodeUnusable(f"{what} {account} is offline; try again later or choose another")
    return node
