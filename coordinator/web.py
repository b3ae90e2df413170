"""The api service: the REST application under TLS, with a bound on slow and on many connections."""

import asyncio
import socket
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import h11
import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from coordinator.settings import Settings
from soterone.rpc.channels import BindError

_log = structlog.get_logger()
_HEAD_SECONDS = 10.0
_LINGER_SECONDS = 0.5
_IDLE_SECONDS = 15
_BACKLOG = 512
_SHUTDOWN_SECONDS = 1


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request line and headers take longer than ten seconds."""

    _patience: asyncio.TimerHandle | None = None
    _cut_off: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Wait for a head until one is whole; while a request is answered there is nothing to wait for.

        Who goes on sending a body after its answer is cut off: uvicorn would read it to its end.
        """
        super().data_received(data)
        answered = self.cycle is None or self.cycle.response_complete
        if not answered:
            self._stop_waiting()
        elif self._patience is None:
            self._wait_for_head()
        if answered and self.conn.their_state is h11.SEND_BODY:
            self._cut_off = self._cut_off or self.loop.call_later(_LINGER_SECONDS, self.transport.abort)
        elif self._cut_off is not None:
            self._cut_off.cancel()
            self._cut_off = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        self._stop_waiting()
        if self._cut_off is not None:
            self._cut_off.cancel()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(_HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class WebService:
    """Binds at construction, so that a taken port is known at once; `run` serves until stopped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket = bound(settings.host, settings.rest_port, shared=settings.many_processes)
        self.port = int(self._socket.getsockname()[1])
        self.ready = asyncio.Event()

    async def run(self, app: FastAPI, certificate: Path, key: Path, stop: asyncio.Event) -> None:
        """Serve the application; answers under way get a second at the end."""
        config = uvicorn.Config(
            app,
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            limit_concurrency=self._settings.max_connections,
            backlog=_BACKLOG,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        await LateServer(config, self.ready).serve_until(stop, self._socket)


class LateServer(uvicorn.Server):
    """Serves on a socket that was bound before, until an event; `ready` is set once it listens."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def serve_until(self, stop: asyncio.Event, listener: socket.socket) -> None:
        """Serve until `stop`."""
        serving = asyncio.create_task(self.serve([listener]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        self.should_exit = True
        await serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it is ready once it listens."""
        await super().startup(sockets)
        self._ready.set()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Leave signals to the process, which stops every service."""
        return nullcontext()


def bound(host: str, port: int, *, shared: bool) -> socket.socket:
    """Return a listening socket; shared, other processes may listen on the same port and take turns.

    BindError when it is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise BindError(
            f"cannot listen on {host}:{port}: it is taken or not an address of this machine"
        ) from error
    return listener
