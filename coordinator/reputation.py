"""What is public of an account's reputation: what the contracts say now, and how that came about by their events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from fastapi import APIRouter, Query
from sqlalchemy import and_, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.chain.log_rows import event_of
from coordinator.context import AccountPath, Ctx
from coordinator.database import Database
from coordinator.errors import Unavailable
from coordinator.models.chain import ChainLog
from coordinator.problems import responses
from coordinator.retries import PersistentRoute
from soterone.chain.events import Event
from soterone.chain.reputation_history import CLAIMS, JUDGEMENTS, STEPS, Step, steps_of
from soterone.chain.standing import read_standing
from soterone.domain.ids import Account
from soterone.rest.catalog import ReputationStep, ReputationView

router = APIRouter(prefix="/v1/reputation", tags=["catalog"], route_class=PersistentRoute)

_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in (*STEPS, *CLAIMS, *JUDGEMENTS)}

Limit = Annotated[int, Query(ge=1, le=500, description="How many steps at most.")]
Before = Annotated[
    str,
    Query(max_length=40, pattern=r"^([0-9]{1,18}-[0-9]{1,9})?$", description="`next` of the page before."),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a log stands in the chain; a page ends at one."""

    block_number: int
    log_index: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what `str` wrote; None for nothing."""
        return cls(*map(int, text.split("-"))) if text else None

    def __str__(self) -> str:
        return f"{self.block_number}-{self.log_index}"


@router.get("/{account}", responses=responses(Unavailable))
async def show_reputation(
    context: Ctx, account: AccountPath, before: Before = "", limit: Limit = 100
) -> ReputationView:
    """Return what the chain says of an account, and its history, newest first; ask again with `before=next` for more.

    Anybody may read the same from the chain.
    """
    standing = await read_standing(context.chain, account)
    steps, following = await history_page(context.database, account, Place.parse(before), limit)
    shown = [ReputationStep.of(step) for step in steps]
    return ReputationView.of(account, standing, shown, str(following) if following else None)


async def history_page(
    database: Database, node: Account, before: Place | None, limit: int
) -> tuple[list[Step], Place | None]:
    """Return up to `limit` steps before a place, newest first, and where the next page goes on."""
    async with database.reading() as session:
        logs = await _steps(session, node, before, limit + 1)
        shown = logs[:limit]
        causes = await _causes(session, node, shown)
    events = [event_of(log, _KINDS) for log in (*shown, *causes)]
    steps = steps_of(node, events, {log.block_number: log.block_time for log in (*shown, *causes)})
    last = shown[-1] if len(logs) > limit else None
    return list(reversed(steps)), Place(last.block_number, last.log_index) if last else None


async def _steps(
    session: AsyncSession, node: Account, before: Place | None, limit: int
) -> Sequence[ChainLog]:
    place = tuple_(col(ChainLog.block_number), col(ChainLog.log_index))
    statement = (
        select(ChainLog)
        .where(col(ChainLog.node) == node, col(ChainLog.name).in_(_names(STEPS)))
        .order_by(col(ChainLog.block_number).desc(), col(ChainLog.log_index).desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(place < (before.block_number, before.log_index))
    return (await session.scalars(statement)).all()


async def _causes(session: AsyncSession, node: Account, steps: Sequence[ChainLog]) -> Sequence[ChainLog]:
    """Return the claims and judgements that moved a node in these steps."""
    if not steps:
        return ()
    blocks = [log.block_number for log in steps]
    queries = {log.query_id for log in steps if log.query_id}
    claims = and_(
        col(ChainLog.node) == node,
        col(ChainLog.name).in_(_names(CLAIMS)),
        col(ChainLog.block_number).between(min(blocks), max(blocks)),
    )
    judgements = and_(col(ChainLog.query_id).in_(queries), col(ChainLog.name).in_(_names(JUDGEMENTS)))
    return (await session.scalars(select(ChainLog).where(or_(claims, judgements)))).all()


def _names(kinds: tuple[type[Event], ...]) -> list[str]:
    return [kind.__name__ for kind in kinds]
