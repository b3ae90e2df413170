"""The running agent: one task group of named loops over the store. A loop that fails is started again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from node_agent.chain_watch import ChainWatch, QueryEvent, StoreCursor, StoreTransaction
from node_agent.coordinator_link import CoordinatorLink
from node_agent.datasets.own import OwnDatasets
from node_agent.detection.paying import Payer
from node_agent.detection.readmission import Readmission
from node_agent.directory import ChainDirectory
from node_agent.errors import AgentError, Unreachable
from node_agent.folder import DataFolder
from node_agent.heartbeat import HeartbeatLoop, OfferTaker, Rhythm
from node_agent.identity import Identity
from node_agent.network import Network, open_chain
from node_agent.policy_gate import PolicyGate, read_policy
from node_agent.resources import Snapshots, load_profile
from node_agent.sessions.backoff import Backoff
from node_agent.settings import AgentSettings
from node_agent.store import Store
from soterone.chain.client import ChainClient
from soterone.chain.direct_sender import DirectSender
from soterone.chain.errors import ChainError, ChainUnreachableError
from soterone.chain.follower import Follower
from soterone.domain.ids import Account
from soterone.domain.profiles import NodeProfile
from soterone.domain.roles import Role

log = structlog.get_logger()

STOP_SECONDS = 1.5
FIRST_CONTACT_SECONDS = 5.0
REGISTRATION_SECONDS = 3.0


class Work(OfferTaker, Protocol):
    """The queries at this node, as the agent drives them."""

    async def start(self) -> None:
        """Listen for peers and take up what a kill left; BindError when the address is taken."""

    async def handle(self, event: QueryEvent) -> None:
        """Take one event of the chain. Idempotent: after a kill or a reorganisation it comes again."""

    async def run(self, stop: asyncio.Event) -> None:
        """Do what is due until `stop`."""

    async def close(self) -> None:
        """Stop listening, end children and leave the store so that a new start resumes."""


@dataclass(frozen=True, slots=True)
class AgentParts:
    """What the agent's loops and its queries share."""

    folder: DataFolder
    settings: AgentSettings
    network: Network
    identity: Identity
    profile: NodeProfile
    store: Store
    directory: ChainDirectory
    policy: PolicyGate
    datasets: OwnDatasets
    snapshots: Snapshots
    chain: ChainClient
    link: CoordinatorLink


@dataclass(frozen=True, slots=True)
class Ready:
    """What a started agent says of itself. `online` is False while the coordinator does not answer."""

    account: Account
    endpoint: str
    online: bool


class Agent:
    """One agent on one data folder."""

    def __init__(self, parts: AgentParts, work: Work) -> None:
        self._parts = parts
        self._work = work
        self._watch = ChainWatch(parts.store, parts.identity.account, work.handle)
        self._follower: Follower[StoreTransaction] = Follower(
            parts.chain,
            StoreCursor(parts.store),
            self._watch,
            confirmations=parts.settings.confirmations,
            poll_seconds=parts.settings.chain_poll_seconds,
            ws_url=parts.settings.chain_websocket,
        )
        description = parts.network.description
        rhythm = Rhythm(description.heartbeat_interval_seconds, description.heartbeat_patience)
        self._heartbeat = HeartbeatLoop(parts.link, work, parts.snapshots.take, rhythm)
        sender = DirectSender(parts.chain, parts.identity.signer)
        payer = Payer(parts.identity.account, parts.chain, sender, parts.link.agents)
        self._readmission = Readmission(parts.identity.account, parts.chain, payer, self._is_suspended)

    async def run(self, stop: asyncio.Event, announce: Callable[[Ready], None]) -> None:
        """Catch up with the chain, listen, announce, and work until `stop`; then end within two seconds."""
        await self._find_registration()
        try:
            await self._work.start()
            tasks = self._start_loops(stop)
            try:
                await self._announce(stop, announce)
                await stop.wait()
            finally:
                await _end(tasks)
        finally:
            await self._work.close()

    def _start_loops(self, stop: asyncio.Event) -> list[asyncio.Task[None]]:
        loops: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "heartbeat": self._heartbeat.run,
            "chain watch": lambda: self._follower.run(stop),
            "chain events": self._watch.deliver,
            "sessions": lambda: self._work.run(stop),
            "readmission": lambda: self._readmission.run(stop),
        }
        return [asyncio.create_task(_keep_going(name, loop, stop), name=name) for name, loop in loops.items()]

    async def _find_registration(self) -> None:
        """Read the chain up to now; our RPC may lag a little behind the one that the registration went through."""
        identity, deadline = self._parts.identity, time.monotonic() + REGISTRATION_SECONDS
        await self._catch_up()
        await self._readmission.look()
        while (on_chain := self._parts.directory.key_hash(identity.account)) != identity.tls_key_hash:
            if time.monotonic() > deadline:
                raise AgentError(_unregistered(identity.account, on_chain, suspended=self._is_suspended()))
            await asyncio.sleep(0.2)
            await self._catch_up()
        own = self._parts.directory.node(identity.account)
        if own and self._parts.settings.roles & Role.DETECTOR and not own.roles & Role.DETECTOR:
            raise AgentError(
                "this node is not registered as a detector: set `detector: true` in its config.yaml, then"
                " `soter-node unregister` and `soter-node register`"
            )

    def _is_suspended(self) -> bool:
        own = self._parts.store.node_keys.latest(self._parts.identity.account)
        return own is not None and own.suspended

    async def _catch_up(self) -> None:
        try:
            await self._follower.catch_up()
        except ChainUnreachableError as error:
            raise Unreachable(str(error)) from error
        except ChainError as error:
            raise AgentError(str(error)) from error

    async def _announce(self, stop: asyncio.Event, announce: Callable[[Ready], None]) -> None:
        """Wait a little for the coordinator's first answer; without one the agent is ready all the same."""
        waiting = [asyncio.create_task(event.wait()) for event in (self._parts.link.answered, stop)]
        await asyncio.wait(waiting, timeout=FIRST_CONTACT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        online = self._parts.link.answered.is_set()
        announce(Ready(self._parts.identity.account, self._parts.settings.endpoint, online))


def _unregistered(account: Account, on_chain: bytes | None, *, suspended: bool) -> str:
    if suspended:
        return (
            f"{account} is suspended on chain by a claim of detectors: `soter-node claims` lists it, `soter-node"
            " appeal` contests it; once its time is over, `soter-node run` brings the node back"
        )
    if on_chain is None:
        return f"{account} is not an active node on chain; run `soter-node register` first"
    return "the chain has another TLS key for this node than this folder; use the folder of that key"


async def open_agent(
    folder: DataFolder,
    settings: AgentSettings,
    network: Network,
    identity: Identity,
    work: Callable[[AgentParts], Work],
    stack: AsyncExitStack,
) -> Agent:
    """Open store, chain and coordinator for an agent; they close with the stack. Errors: AgentError, Unreachable."""
    read_policy(folder.policy)
    store = Store.open(folder.store)
    stack.callback(store.close)
    chain = await open_chain(settings.chain_rpc, network.contracts)
    stack.push_async_callback(chain.close)
    link = CoordinatorLink(network.description.agents_address, identity.ca_pem, identity.tls)
    stack.push_async_callback(link.close)
    directory = ChainDirectory(store.node_keys)
    parts = AgentParts(
        folder=folder,
        settings=settings,
        network=network,
        identity=identity,
        profile=load_profile(folder.profile),
        store=store,
        directory=directory,
        policy=PolicyGate(folder.policy, store, directory, identity.account),
        datasets=OwnDatasets(store.datasets, lambda: read_policy(folder.policy)),
        snapshots=Snapshots(folder.path),
        chain=chain,
        link=link,
    )
    return Agent(parts, work(parts))


async def _keep_going(name: str, loop: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Run a loop until it returns or `stop`; one that raises starts again, later each time."""
    waits = Backoff(first_seconds=0.5, longest_seconds=30.0).waits()
    while not stop.is_set():
        try:
            await loop()
        except Exception:
            log.exception("loop failed", loop=name)
            with suppress(TimeoutError):
                async with asyncio.timeout(next(waits)):
                    await stop.wait()
        else:
            return


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Let loops that watch `stop` return, then cancel the rest."""
    for task in tasks:
        if task.get_name() in ("heartbeat", "chain events"):
            task.cancel()
    _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
    for task in late:
        log.warning("loop slow to stop", loop=task.get_name())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
