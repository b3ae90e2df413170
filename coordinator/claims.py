"""Routes of what detectors upheld against nodes: folded from the chain's logs."""

import json
from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from sqlmodel import col

from coordinator.context import AccountPath, Context, Ctx
from coordinator.models.chain import ChainLog
from coordinator.problems import responses
from coordinator.retries import PersistentRoute
from soterone.chain.events import (
    ClaimAppealed,
    ClaimFinal,
    ClaimReversed,
    ClaimUpheld,
    ProfileMeasured,
)
from soterone.domain.detection import Measurement
from soterone.domain.ids import Account
from soterone.rest.catalog import ClaimList, ClaimView

router = APIRouter(route_class=PersistentRoute)
_NAMES = [one.__name__ for one in (ClaimUpheld, ProfileMeasured, ClaimAppealed, ClaimReversed, ClaimFinal)]
_MOST = 100


@router.get("/v1/reputation/{account}/claims", tags=["catalog"], responses=responses())
async def list_claims(context: Ctx, account: AccountPath) -> ClaimList:
    """List the newest claims upheld against an account and how they stand; anybody may read the same on chain."""
    found = fold(await _logs(context, account))
    return ClaimList(claims=[ClaimView.model_validate(one) for one in reversed(found)][:_MOST])


def fold(logs: Iterable[ChainLog]) -> list[dict[str, Any]]:
    """Return the claims that logs in the chain's order tell of, by the fields of `ClaimView`."""
    claims: dict[str, dict[str, Any]] = {}
    for log in logs:
        data = json.loads(log.data_json)
        if log.name == ClaimUpheld.__name__:
            claims[data["claim_id"]] = _upheld(log, data)
        elif data["claim_id"] in claims:
            claims[data["claim_id"]] |= _change(log.name, data)
    return list(claims.values())


def _upheld(log: ChainLog, data: dict[str, Any]) -> dict[str, Any]:
    claim: dict[str, Any] = dict(data["claim"])
    accusation: dict[str, Any] = claim.pop("accusation")
    told = {"claim_id": data["claim_id"], "status": "upheld", "block": log.block_number}
    return accusation | claim | told | {"tx": log.transaction_hash}


def _change(name: str, data: dict[str, Any]) -> dict[str, Any]:
    if name == ProfileMeasured.__name__:
        measured = Measurement(**data["measured"])
        return {
            "measured_cpu_cores": measured.cores,
            "measured_memory_bytes": measured.memory_bytes,
            "measured_speed": measured.speed,
        }
    if name == ClaimAppealed.__name__:
        return {"status": "appealed", "appeal_epoch": data["epoch"]}
    return {"status": "reversed" if name == ClaimReversed.__name__ else "final"}


async def _logs(context: Context, account: Account) -> list[ChainLog]:
    statement = (
        select(ChainLog)
        .where(col(ChainLog.node) == account, col(ChainLog.name).in_(_NAMES))
        .order_by(col(ChainLog.block_number), col(ChainLog.log_index))
    )
    async with context.database.reading() as session:
        return list(await session.scalars(statement))
