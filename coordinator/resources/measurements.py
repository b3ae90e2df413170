"""What detectors measured of nodes, as far as the claims stand: folded from the chain's logs, so that an appeal or a
reorganisation takes its effect away too."""

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.chain.log_rows import event_of
from coordinator.database import database_now
from coordinator.models.chain import ChainLog
from soterone.chain.claim_history import (
    CLAIM_EVENTS,
    MEASUREMENT_STANDS_SECONDS,
    Measured,
    StandingClaim,
    claims_of,
    measured_by,
)
from soterone.chain.events import Event

_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in CLAIM_EVENTS}


async def standing(session: AsyncSession, nodes: Collection[str]) -> dict[str, Measured]:
    """Return the newest measurement that stands of each node that has one."""
    logs = await session.scalars(
        select(ChainLog)
        .where(
            col(ChainLog.node).in_(nodes),
            col(ChainLog.name).in_(_KINDS),
            col(ChainLog.block_time) > database_now() - MEASUREMENT_STANDS_SECONDS,
        )
        .order_by(col(ChainLog.block_number), col(ChainLog.log_index))
    )
    rows = list(logs)
    claims = defaultdict[str, list[StandingClaim]](list)
    for claim in claims_of(
        [event_of(log, _KINDS) for log in rows], {log.block_number: log.block_time for log in rows}
    ):
        claims[claim.node].append(claim)
    found = {node: measured_by(of_node) for node, of_node in claims.items()}
    return {node: measured for node, measured in found.items() if measured is not None}
