"""Watches the chain beside everybody else and notes when each event was first to be seen; waits while it is away."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass, field

from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError
from soterone.chain.events import Event
from soterone.chain.records import Contracts

POLL_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class Seen:
    """An event and the monotonic second at which it was first seen."""

    event: Event
    at: float


@dataclass(slots=True)
class Recorder:
    """A thread with its own connection to the chain."""

    rpc_url: str
    contracts: Contracts
    seen: list[Seen] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch from the contracts' first block."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)

    def events_of(self, query_id: str) -> list[Seen]:
        """Return what was seen of a query, in order."""
        return [seen for seen in self.seen if getattr(seen.event, "query_id", None) == query_id]

    def time_of(self, query_id: str, kind: type[Event], seconds: float = 60.0) -> float:
        """Wait for an event of a query and return when it was seen; TimeoutError when it does not come."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for seen in self.events_of(query_id):
                if isinstance(seen.event, kind):
                    return seen.at
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{kind.__name__} of query {query_id} was not seen within {seconds:.0f} s")

    async def _watch(self) -> None:
        async with await ChainClient.connect(self.rpc_url, self.contracts) as chain:
            following = self.contracts.start_block
            while not self._stop.is_set():
                with contextlib.suppress(ChainError):
                    head = await chain.head()
                    now = time.monotonic()
                    if head.number >= following:
                        found = await chain.events_between(following, head.number)
                        self.seen += [Seen(event, now) for event in found]
                        following = head.number + 1
                await asyncio.sleep(POLL_SECONDS)
