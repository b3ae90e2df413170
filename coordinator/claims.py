"""Routes of what detectors upheld against nodes: folded from the chain's logs."""

from fastapi import APIRouter
from sqlalchemy import select
from sqlmodel import col

from coordinator.chain.log_rows import event_of
from coordinator.context import AccountPath, Context, Ctx
from coordinator.models.chain import ChainLog
from coordinator.problems import responses
from coordinator.retries import PersistentRoute
from soterone.chain.claim_history import CLAIM_EVENTS, claims_of
from soterone.chain.events import Event
from soterone.domain.ids import Account
from soterone.rest.catalog import ClaimList, ClaimView

router = APIRouter(route_class=PersistentRoute)
_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in CLAIM_EVENTS}
_MOST = 100


@router.get("/v1/reputation/{account}/claims", tags=["catalog"], responses=responses())
async def list_claims(context: Ctx, account: AccountPath) -> ClaimList:
    """List the newest claims upheld against an account and how they stand; anybody may read the same on chain."""
    logs = await _logs(context, account)
    found = claims_of(
        [event_of(log, _KINDS) for log in logs], {log.block_number: log.block_time for log in logs}
    )
    return ClaimList(claims=[ClaimView.of(one) for one in reversed(found)][:_MOST])


async def _logs(context: Context, account: Account) -> list[ChainLog]:
    statement = (
        select(ChainLog)
        .where(col(ChainLog.node) == account, col(ChainLog.name).in_(_KINDS))
        .order_by(col(ChainLog.block_number), col(ChainLog.log_index))
    )
    async with context.database.reading() as session:
        return list(await session.scalars(statement))
