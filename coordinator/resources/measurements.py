"""What detectors measured of nodes, as far as the claims stand: folded from the chain's logs, so that an appeal or a
reorganisation takes its effect away too."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import database_now
from coordinator.models.chain import ChainLog
from soterone.chain.events import ClaimReversed, ProfileMeasured
from soterone.domain.detection import Measurement

STANDS_SECONDS: Final = 30 * 86_400
"""How long a measurement caps a node: then it is taken at its word again, and measured again."""
_NAMES: Final = (ProfileMeasured.__name__, ClaimReversed.__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a panel measured of a node, by the claim that it upheld."""

    claim_id: str
    measured_at: int
    measurement: Measurement


async def standing(session: AsyncSession, nodes: Collection[str]) -> dict[str, Measured]:
    """Return the newest measurement that stands of each node that has one."""
    logs = await session.scalars(
        select(ChainLog)
        .where(
            col(ChainLog.node).in_(nodes),
            col(ChainLog.name).in_(_NAMES),
            col(ChainLog.block_time) > database_now() - STANDS_SECONDS,
        )
        .order_by(col(ChainLog.block_number), col(ChainLog.log_index))
    )
    claims: dict[str, tuple[str, Measured]] = {}
    for log in logs:
        data = json.loads(log.data_json)
        claims.pop(data["claim_id"], None)
        if log.name == ProfileMeasured.__name__ and log.node is not None:
            measurement = Measurement(**data["measured"])
            claims[data["claim_id"]] = (log.node, Measured(data["claim_id"], log.block_time, measurement))
    return dict(claims.values())
