"""Builds catalog pages: rows from the managers, standing from the chain."""

from typing import Literal

from coordinator.context import Context
from coordinator.datasets import repository as datasets
from coordinator.datasets.repository import DatasetFilter
from coordinator.nodes import repository as nodes
from coordinator.nodes.repository import NodeView
from coordinator.queries.service import usage_of
from coordinator.resources import measurements
from coordinator.resources.demand import verified_capacity
from soterone.chain.claim_history import Measured
from soterone.domain.ids import Account
from soterone.domain.roles import Role, unpack_version
from soterone.rest.catalog import (
    DatasetEntry,
    DatasetGroup,
    DatasetList,
    NodeEntry,
    NodeList,
    UsageStatistics,
)

_MAX_GROUPS = 100
_FIXED_POINT = 1e9


async def dataset_page(
    context: Context,
    wanted: DatasetFilter,
    after: str,
    limit: int,
    group_by: Literal["tag", "owner"] | None,
) -> DatasetList:
    """Return one page of datasets by id, and the groups of all that match when asked."""
    async with context.database.reading() as session:
        found = await datasets.page(session, wanted, after, limit + 1)
        usage = await usage_of(session, [view.metadata.id for view in found])
        groups = await datasets.groups(session, wanted, group_by, _MAX_GROUPS) if group_by else []
    shown = found[:limit]
    return DatasetList(
        datasets=[
            DatasetEntry(
                owner=view.owner,
                metadata=view.metadata,
                online=view.online,
                statistics=usage.get(view.metadata.id, UsageStatistics()),
            )
            for view in shown
        ],
        groups=[DatasetGroup(name=name, datasets=size) for name, size in groups],
        next=shown[-1].metadata.id if len(found) > limit else None,
    )


async def node_page(
    context: Context, role: Role | None, online_only: bool, after: str, limit: int
) -> NodeList:
    """Return one page of nodes by account, with R' as the chain has it now."""
    async with context.database.reading() as session:
        found = await nodes.page(session, role=role, online_only=online_only, after=after, limit=limit + 1)
        nodes_found = [view.node.account for view in found]
        usage = await usage_of(session, nodes_found)
        measured = await measurements.standing(session, nodes_found)
    shown = found[:limit]
    accounts = [Account(view.node.account) for view in shown]
    scores = await context.chain.scores_of(accounts) if accounts else ()
    return NodeList(
        nodes=[
            _node_entry(
                view,
                score,
                usage.get(view.node.account, UsageStatistics()),
                measured.get(view.node.account),
            )
            for view, score in zip(shown, scores, strict=True)
        ],
        next=shown[-1].node.account if len(found) > limit else None,
    )


def _node_entry(
    view: NodeView, score: int, statistics: UsageStatistics, measured: Measured | None
) -> NodeEntry:
    profile = view.profile
    verified = verified_capacity(profile, measured.measurement if measured else None)
    return NodeEntry(
        account=view.node.account,
        operator=view.node.operator,
        name=profile.name,
        roles=view.node.roles,
        version=unpack_version(view.node.version),
        online=view.online,
        cpu_cores=profile.cpu_cores,
        memory_bytes=profile.memory_bytes,
        core_speed=profile.core_speed,
        verified_cpu_cores=verified.cpu_cores,
        verified_memory_bytes=verified.memory_bytes,
        measured_in=measured.claim_id if measured else None,
        engines=profile.engines,
        score=score / _FIXED_POINT,
        statistics=statistics,
    )
