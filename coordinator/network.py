"""What is public about the network itself: its description, an account's reputation, health and figures."""

import json

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlmodel import col

import soterone
from coordinator.context import Context, Ctx
from coordinator.errors import Malformed, Unavailable
from coordinator.health import readiness
from coordinator.models.chain import ChainLog
from coordinator.problems import responses
from coordinator.retries import PersistentRoute
from coordinator.status import read_status
from soterone.crypto.accounts import account as checksummed
from soterone.domain.ids import Account
from soterone.rest.catalog import ReputationStep, ReputationView
from soterone.rest.network import NetworkDescription

router = APIRouter(route_class=PersistentRoute)
_HISTORY = 100


@router.get("/v1/network", tags=["network"])
async def describe_network(context: Ctx) -> NetworkDescription:
    """Return what a newcomer must know; trust the contracts only when you know them from elsewhere."""
    settings, contracts = context.settings, context.chain.contracts
    return NetworkDescription(
        version=soterone.__version__,
        chain_id=contracts.chain_id,
        start_block=contracts.start_block,
        contracts=dict(contracts.addresses),
        enrolment_address=f"{settings.public_host}:{settings.enrolment_port}",
        agents_address=f"{settings.public_host}:{settings.agents_port}",
        ca_pem=context.authority.ca_pem.decode(),
        heartbeat_interval_seconds=settings.heartbeat_interval_seconds,
        heartbeat_patience=settings.heartbeat_patience,
    )


@router.get("/v1/reputation/{account}", tags=["catalog"], responses=responses(Unavailable))
async def show_reputation(context: Ctx, account: str) -> ReputationView:
    """Return what the chain says of an account; anybody may read the same there."""
    try:
        known = checksummed(account) if account.startswith("0x") else checksummed("")
    except ValueError as error:
        raise Malformed("an account is 0x and 40 hexadecimal digits") from error
    good, bad, *_ = await context.chain.record_of(known)
    return ReputationView(
        account=known,
        score=await context.chain.score_of(known),
        good=good,
        bad=bad,
        credibility=await context.chain.credibility_of(known),
        history=await _history(context, known),
    )


@router.get("/healthz", tags=["operation"])
async def healthz() -> dict[str, str]:
    """Return that the process lives."""
    return {"status": "alive"}


@router.get("/readyz", tags=["operation"])
async def readyz(request: Request) -> JSONResponse:
    """Return 200 when everything that this process needs answers, 503 with what does not."""
    return await readiness(request.app.state.health)


@router.get("/metrics", tags=["operation"])
async def metrics(context: Ctx) -> Response:
    """Return figures in the text format of Prometheus."""
    found = await read_status(context.database)
    context.metrics.nodes_online.set(found["online"])
    context.metrics.queries.clear()
    for status, count in found["queries"].items():
        context.metrics.queries.labels(status).set(count)
    return Response(context.metrics.render(), media_type="text/plain; version=0.0.4")


async def _history(context: Context, account: Account) -> list[ReputationStep]:
    statement = (
        select(ChainLog)
        .where(col(ChainLog.node) == account, col(ChainLog.name) == "ReputationUpdated")
        .order_by(col(ChainLog.block_number).desc(), col(ChainLog.log_index).desc())
        .limit(_HISTORY)
    )
    async with context.database.reading() as session:
        return [_step(log) for log in await session.scalars(statement)]


def _step(log: ChainLog) -> ReputationStep:
    data = json.loads(log.data_json)
    return ReputationStep(
        query_id=log.query_id or "",
        block=log.block_number,
        tx=log.transaction_hash,
        score=data["score"],
        good=data["good"],
        bad=data["bad"],
    )
