"""What is public about the network itself: its description, health and figures."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

import soterone
from coordinator.context import Ctx
from coordinator.health import readiness
from coordinator.retries import PersistentRoute
from coordinator.status import read_status
from soterone.rest.network import NetworkDescription

router = APIRouter(route_class=PersistentRoute)


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
