"""One process of the coordinator: builds the shared context, starts the chosen services, stops them together."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog

from coordinator import migrations
from coordinator.app import create_app
from coordinator.chain.services import FollowerService, SenderService
from coordinator.context import Context
from coordinator.database import Database
from coordinator.health import Health, chain_check, database_check, sender_check
from coordinator.housekeeping import Housekeeper
from coordinator.keys import open_key, sign_in_secret
from coordinator.metrics import Metrics
from coordinator.notifications import Notifications
from coordinator.probe import Probe
from coordinator.queries.blobs import BlobStore
from coordinator.queries.limits import QueryLimits
from coordinator.queries.tasks import Reconciler
from coordinator.rpc.server import RpcService
from coordinator.settings import Settings
from coordinator.sole_process import sole_process
from coordinator.wakeups import Topic, Wakeups
from coordinator.web import WebService
from soterone.chain.client import ChainClient
from soterone.chain.deployment import Deployment
from soterone.chain.records import Contracts
from soterone.crypto.accounts import Signer
from soterone.crypto.certificates import CertificateAuthority, TlsIdentity

_log = structlog.get_logger()


class Service(StrEnum):
    """What a process may run, any number of each over one PostgreSQL."""

    API = "api"
    RPC = "rpc"
    FOLLOWER = "follower"
    SENDER = "sender"
    RECONCILER = "reconciler"


@asynccontextmanager
async def open_context(settings: Settings, signer: Signer) -> AsyncIterator[Context]:
    """Yield the context over a migrated database and a reachable chain with the right contracts.

    Errors: NotMigrated, DeploymentError, ChainError.
    """
    contracts = Contracts.of(Deployment.load(settings.deployment_file))
    limits = QueryLimits(final_depth_blocks=settings.final_depth_blocks)
    async with Database(settings.database) as database:
        await migrations.check(database)
        async with await ChainClient.connect(settings.chain_rpc, contracts) as chain:
            yield Context(
                settings=settings,
                database=database,
                wakeups=Wakeups(),
                chain=chain,
                coordinator=signer.account,
                authority=CertificateAuthority.load(settings.data_dir),
                sign_in_secret=sign_in_secret(settings.data_dir),
                metrics=Metrics(),
                results=BlobStore(settings.data_dir / "results", limits.store_bytes),
                limits=limits,
            )


async def serve(
    settings: Settings,
    chosen: frozenset[Service],
    stop: asyncio.Event,
    announce: Callable[[dict[str, str]], None],
) -> None:
    """Run the chosen services until `stop`; `announce` gets their addresses once they answer.

    Errors: SettingsError when another process runs on the same SQLite file, BindError for a port that is taken,
    KeystoreError, those of `open_context`.
    """
    signer = open_key(settings)
    with sole_process(settings):
        async with open_context(settings, signer) as context:
            await _Process(context, signer, chosen).run(stop, announce)


class _Process:
    def __init__(self, context: Context, signer: Signer, chosen: frozenset[Service]) -> None:
        self._context = context
        self._health = Health()
        self._health.add("database", database_check(context.database))
        self._running: list[Callable[[asyncio.Event], Coroutine[Any, Any, None]]] = []
        self._ready: list[asyncio.Event] = []
        self._addresses: dict[str, str] = {}
        self._identity = _renewed_identity(context)
        self._add_chain(chosen, signer)
        if Service.RECONCILER in chosen:
            self._running += [Reconciler(context).run, Housekeeper(context).run]
        if Service.RPC in chosen:
            self._add_rpc()
        if Service.API in chosen:
            self._add_api()
        else:
            self._add_probe()
        if context.settings.many_processes:
            self._running.append(Notifications(context.settings.database, context.wakeups).run)

    async def run(self, stop: asyncio.Event, announce: Callable[[dict[str, str]], None]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wake_to(stop))
            for service in self._running:
                tasks.create_task(service(stop))
            for ready in self._ready:
                await ready.wait()
            announce(self._addresses)

    async def _wake_to(self, stop: asyncio.Event) -> None:
        """Whoever waits for a wake-up looks at `stop` at once."""
        await stop.wait()
        self._context.wakeups.ring(*Topic)

    def _add_chain(self, chosen: frozenset[Service], signer: Signer) -> None:
        if Service.SENDER in chosen:
            sending = SenderService(self._context, signer)
            self._health.add("sender", sender_check(sending.sender))
            self._running.append(sending.run)
        if Service.FOLLOWER in chosen:
            service = FollowerService(self._context)
            settings = self._context.settings
            limits = (settings.chain_answer_limit_seconds, settings.head_age_limit_seconds)
            age = self._context.metrics.head_age_seconds
            age.set_function(lambda: service.follower.head_age_seconds or 0.0)
            self._health.add("chain", chain_check(service.follower, *limits))
            self._running.append(service.run)

    def _add_rpc(self) -> None:
        rpc = RpcService(self._context, self._identity)
        host = self._context.settings.public_host
        self._addresses["agents"] = f"{host}:{rpc.agents_port}"
        self._addresses["enrolment"] = f"{host}:{rpc.enrolment_port}"
        self._running.append(rpc.run)
        self._ready.append(rpc.ready)

    def _add_api(self) -> None:
        settings = self._context.settings
        web = WebService(settings)
        app = create_app(self._context, self._health)
        self._addresses["rest"] = f"https://{settings.public_host}:{web.port}"
        certificate, key = settings.data_dir / "server.pem", settings.data_dir / "server.key"
        self._running.append(lambda stop: web.run(app, certificate, key, stop))
        self._ready.append(web.ready)

    def _add_probe(self) -> None:
        probe = Probe(self._health, self._context.metrics)
        self._addresses["health"] = probe.address
        self._running.append(probe.run)
        self._ready.append(probe.ready)


def _renewed_identity(context: Context) -> TlsIdentity:
    """Issue the server certificate anew at every start, so that it never expires in use."""
    folder = context.settings.data_dir
    key_pem = (folder / "server.key").read_bytes()
    certificate_pem = context.authority.issue_server(key_pem, context.settings.certificate_hosts)
    _replace(folder / "server.pem", certificate_pem)
    return TlsIdentity(key_pem, certificate_pem)


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    draft.write_bytes(content)
    draft.replace(path)
