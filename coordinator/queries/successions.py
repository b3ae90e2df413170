"""Who takes part after the replacements that the chain tells of. The generation never goes back, the chain may."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from coordinator.models.queries import Participant, Query, Replacement
from coordinator.nodes import repository as nodes
from coordinator.queries import repository
from coordinator.resources import service as resources
from soterone.domain.lifecycle import Stage
from soterone.domain.roles import Role


@dataclass(frozen=True, slots=True)
class Replaced:
    """One MPCUpdated event: `new` took the rank of `old`, which began `generation`."""

    generation: int
    old: str
    new: str


async def follow_replacements(session: AsyncSession, query: Query, steps: Sequence[Replaced]) -> None:
    """Bring generation and participants in line with the events that stand now; the same again changes nothing.

    Events that a reorganisation took away leave everything as it was but `chain_generation`: they are sent again.
    Where the chain names another successor than was known, the chain is right.
    """
    for step in steps:
        await _replace(session, query, step)
    query.chain_generation = steps[-1].generation if steps else 0
    if query.chain_generation <= query.generation:
        return
    query.generation = query.chain_generation
    query.training_ended_at = query.announced_hash = None
    if query.dispatched_at is not None and not Stage(query.status).terminal:
        query.status = Stage.RECOVERING
    await session.flush()


async def _replace(session: AsyncSession, query: Query, step: Replaced) -> None:
    participants = await repository.participants_of(session, query.id)
    await _contradict(session, participants, step)
    old = next((one for one in participants if one.account == step.old), None)
    if old is None:
        return
    old.lost_generation = step.generation
    if await repository.participant(session, query.id, step.new) is None:
        session.add(await _successor(session, old, step))
    await resources.release_node(session, query.id, step.old)
    recorded = await session.get(Replacement, (query.id, step.generation))
    if recorded is not None:
        recorded.successor = step.new
    await session.flush()


async def _contradict(session: AsyncSession, participants: Sequence[Participant], step: Replaced) -> None:
    """Undo what an abandoned branch of the chain said of this generation."""
    for one in participants:
        if one.joined_generation == step.generation and one.account != step.new:
            await resources.release_node(session, one.query_id, one.account)
            await session.delete(one)
        elif one.lost_generation == step.generation and one.account != step.old:
            one.lost_generation = None
    await session.flush()


async def _successor(session: AsyncSession, old: Participant, step: Replaced) -> Participant:
    node = await nodes.get(session, step.new)
    return Participant(
        query_id=old.query_id,
        account=step.new,
        role=Role.MPC_NODE,
        rank=old.rank,
        operator=step.new if node is None else node.operator,
        joined_generation=step.generation,
    )
