"""A follower at work in a test: its journal, the loop around it, and a relay that spoils its connections."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from nodes import mined, registering

from soterone.chain.client import ChainClient
from soterone.chain.cursor import InMemoryCursorStore, MemoryCursorTransaction
from soterone.chain.events import Event, NodeRegistered
from soterone.chain.follower import Follower
from soterone.chain.records import Block, BlockRef
from soterone.crypto.accounts import Signer
from soterone.domain.roles import Role


class Journal:
    """A handler that keeps what stands, in order; applied events leave it when they are undone."""

    def __init__(self) -> None:
        self.applied: list[tuple[Block, Event, float]] = []
        self.undone: list[BlockRef | None] = []
        self.fail_once = False

    async def apply(
        self, transaction: MemoryCursorTransaction, block: Block, events: Sequence[Event]
    ) -> None:
        if self.fail_once:
            self.fail_once = False
            raise OSError("the disk is full")
        self.applied += [(block, event, time.monotonic()) for event in events]

    async def undo(
        self, transaction: MemoryCursorTransaction, removed: Sequence[BlockRef], ancestor: BlockRef | None
    ) -> None:
        self.undone.append(ancestor)
        gone = {one.hash for one in removed}
        self.applied = [one for one in self.applied if one[0].hash not in gone]

    @property
    def nodes(self) -> list[str]:
        return [event.node for _, event, _ in self.applied if isinstance(event, NodeRegistered)]


class Following:
    """A follower that runs, with its store and journal."""

    def __init__(self, client: ChainClient, **options: Any) -> None:
        self.store, self.journal, self.stop = InMemoryCursorStore(), Journal(), asyncio.Event()
        self.follower = Follower(client, self.store, self.journal, **options)


@asynccontextmanager
async def following(client: ChainClient, **options: Any) -> AsyncIterator[Following]:
    running = Following(client, **options)
    task = asyncio.create_task(running.follower.run(running.stop))
    try:
        yield running
    finally:
        running.stop.set()
        await asyncio.wait_for(task, 5)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (the condition is a reading of many things)
            await asyncio.sleep(0.005)


async def register(chain: ChainClient, node: Signer) -> None:
    await mined(chain, node, registering(chain, node, Role.MPC_NODE))


class Relay:
    """A TCP relay to a node that can swallow what it should pass on, or drop every connection."""

    def __init__(self, port: int) -> None:
        self._target, self._writers = port, list[asyncio.StreamWriter]()
        self.frozen, self.connections, self.port = False, 0, 0

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"ws://127.0.0.1:{self.port}"

    async def drop(self) -> None:
        for writer in self._writers:
            writer.close()

    async def close(self) -> None:
        self._server.close()
        await self.drop()
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections, self.frozen = self.connections + 1, False
        node_reader, node_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, node_writer]
        await asyncio.gather(self._pass_on(reader, node_writer), self._pass_on(node_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if not self.frozen:
                    writer.write(data)
        except OSError:
            pass
        writer.close()
