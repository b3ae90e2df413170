"""The description of a session that its participants get: spec, peers with their certificates, result key."""

import json

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.models.nodes import Node
from coordinator.models.queries import Participant
from coordinator.queries import repository
from coordinator.queries.schemas import Session, SessionMember
from soterone.domain.ids import Account, QueryId
from soterone.domain.profiles import NodeProfile
from soterone.domain.roles import Role


async def session_of(session: AsyncSession, query_id: QueryId) -> Session | None:
    """Return the description of a query's present generation; None when there is no such query."""
    query = await repository.get(session, query_id)
    if query is None:
        return None
    found = await session.execute(
        select(Participant, Node)
        .join(Node, col(Node.account) == col(Participant.account))
        .where(col(Participant.query_id) == query_id, col(Participant.lost_generation).is_(None))
        .order_by(col(Participant.role), col(Participant.rank))
    )
    return Session(
        query_id,
        Account(query.customer),
        query.spec_json.encode(),
        tuple(_member(participant, node) for participant, node in found),
        bytes.fromhex(query.result_key[2:]),
        query.generation,
    )


def _member(participant: Participant, node: Node) -> SessionMember:
    return SessionMember(
        Account(node.account),
        Account(node.operator),
        Role(participant.role),
        NodeProfile.model_validate_json(node.profile_json).endpoint,
        node.certificate_pem,
        tuple(json.loads(participant.datasets_json)),
    )
