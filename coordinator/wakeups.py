"""Wake-ups. They only shorten a wait: whoever waits also polls, so a lost one costs latency."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class Topic(StrEnum):
    """What somebody may wait for."""

    OFFERS = "offers"
    ANSWERS = "answers"
    OUTBOX = "outbox"
    CHAIN = "chain"
    QUERIES = "queries"
    NODES = "nodes"
    SCRUBBED = "scrubbed"


class Bell:
    """Remembers a wake-up until the next `wait`, so that none is lost between looking and waiting."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """End the present wait, or the next one at once."""
        self._rung.set()

    async def wait(self, timeout_seconds: float) -> bool:
        """Wait until rung; False when the time ran out first. Look at the database again either way."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._rung.wait()
            return True
        except TimeoutError:
            return False
        finally:
            self._rung.clear()


class Wakeups:
    """`with wakeups.listen(topic) as bell:` look, `await bell.wait(…)`, look again. `notify` after the commit."""

    def __init__(self) -> None:
        self._bells: dict[Topic, set[Bell]] = defaultdict(set)
        self._relay: Callable[[tuple[Topic, ...]], None] | None = None

    def relay_to(self, relay: Callable[[tuple[Topic, ...]], None]) -> None:
        """Tell `relay` too of whatever is notified from now on, so that other processes hear of it."""
        self._relay = relay

    def notify(self, *topics: Topic) -> None:
        """Ring everybody who listens to one of these topics, in this process and in those that it is relayed to."""
        self.ring(*topics)
        if self._relay is not None:
            self._relay(topics)

    def ring(self, *topics: Topic) -> None:
        """Ring everybody in this process who listens to one of these topics."""
        for topic in topics:
            for bell in self._bells[topic]:
                bell.ring()

    @contextmanager
    def listen(self, *topics: Topic) -> Iterator[Bell]:
        """Yield a bell that rings at each `notify` of one of the topics."""
        bell = Bell()
        for topic in topics:
            self._bells[topic].add(bell)
        try:
            yield bell
        finally:
            for topic in topics:
                self._bells[topic].discard(bell)
