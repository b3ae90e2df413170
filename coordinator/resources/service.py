"""Admission: a node is never promised to give more than it has."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.resources import measurements, repository
from coordinator.resources.demand import Demand
from coordinator.resources.errors import NodeFull

_NOTHING = Demand(0, 0, 0)
_CALM_LOAD_A_CORE = 0.25


async def reserve(
    session: AsyncSession, query_id: str, demands: Mapping[str, Demand], expires_in_seconds: float
) -> None:
    """Reserve all demands of a query or none; NodeFull names the first node that lacks something."""
    capacities = await repository.lock_capacities(session, list(demands))
    taken = await repository.promised(session, list(demands))
    for node, demand in demands.items():
        check_fits(node, demand, capacities.get(node, _NOTHING), taken.get(node, _NOTHING))
    await repository.add(session, query_id, dict(demands), expires_in_seconds)


async def with_room(session: AsyncSession, nodes: list[str], demand: Demand) -> list[str]:
    """Return those of `nodes` where the demand would fit now, in their order."""
    capacities = await repository.lock_capacities(session, nodes)
    taken = await repository.promised(session, nodes)
    return [
        node
        for node in nodes
        if node in capacities and _lack(demand, capacities[node], taken.get(node, _NOTHING)) is None
    ]


async def preferred(session: AsyncSession, nodes: list[str]) -> list[list[str]]:
    """Return the groups of `nodes` to plan with, best first, where it is enough: those whose profile no standing claim
    refutes and whose heartbeats tell of little load; all those that no claim refutes.

    A load excuses slowness before detectors: so who tells of much comes later, and last who was found to lie.
    """
    known, refuted = await repository.loads(session, nodes), await measurements.standing(session, nodes)
    believed = [node for node in nodes if node not in refuted]
    return [[node for node in believed if known.get(node, 0.0) <= _CALM_LOAD_A_CORE], believed]


def check_fits(node: str, demand: Demand, capacity: Demand, taken: Demand) -> None:
    """NodeFull when the demand does not fit beside what is taken."""
    lack = _lack(demand, capacity, taken)
    if lack is not None:
        raise NodeFull(node, *lack)


def _lack(demand: Demand, capacity: Demand, taken: Demand) -> tuple[str, int, int] | None:
    for resource, needed, left in (
        ("CPU cores", demand.cpu_cores, capacity.cpu_cores - taken.cpu_cores),
        ("bytes of memory", demand.memory_bytes, capacity.memory_bytes - taken.memory_bytes),
        ("bytes of disk", demand.disk_bytes, capacity.disk_bytes - taken.disk_bytes),
    ):
        if needed > left:
            return resource, needed, left
    return None


release = repository.release
keep = repository.keep
is_held = repository.is_held
delete_expired = repository.delete_expired
release_node = repository.release_node
demand_of = repository.demand_of
take_over = repository.take_over
