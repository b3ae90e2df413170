"""Health and figures of a process without the REST interface: plain HTTP on the loopback, for whoever watches it."""

import asyncio

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coordinator.health import Health, readiness
from coordinator.metrics import Metrics
from coordinator.web import LateServer, bound

HOST = "127.0.0.1"


class Probe:
    """Answers `/healthz`, `/readyz` and `/metrics` at a port that was free; `address` says where."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health, self._metrics = health, metrics
        self._socket = bound(HOST, 0, shared=False)
        self.address = f"http://{HOST}:{self._socket.getsockname()[1]}"
        self.ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Answer until `stop`."""
        routes = [
            Route("/healthz", self._alive),
            Route("/readyz", self._ready),
            Route("/metrics", self._figures),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), lifespan="off", log_config=None, access_log=False, ws="none"
        )
        await LateServer(config, self.ready).serve_until(stop, self._socket)

    async def _alive(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _ready(self, request: Request) -> Response:
        return await readiness(self._health)

    async def _figures(self, request: Request) -> Response:
        return Response(self._metrics.render(), media_type="text/plain; version=0.0.4")
