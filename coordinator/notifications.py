"""Carries wake-ups between processes over one PostgreSQL (LISTEN/NOTIFY). A lost one costs latency: all poll too."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from psycopg import AsyncConnection, Error
from sqlalchemy import make_url

from coordinator.wakeups import Topic, Wakeups

_log = structlog.get_logger()
_CHANNEL = "soter"
_GATHER_SECONDS = 0.005
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.1, 2.0
_CONNECTION: Final[dict[str, Any]] = {
    "application_name": "soter-wakeups",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class Notifications:
    """Tells the other processes what was notified in this one, and rings here what they tell."""

    def __init__(self, url: str, wakeups: Wakeups) -> None:
        """Take the coordinator's database URL; nothing is connected yet."""
        parts = make_url(url).set(drivername="postgresql")
        self._address = parts.render_as_string(hide_password=False)
        self._wakeups = wakeups
        self._name = secrets.token_hex(6)
        self._untold: set[Topic] = set()
        self._told = asyncio.Event()
        wakeups.relay_to(self._take)

    async def run(self, stop: asyncio.Event) -> None:
        """Carry until `stop`; a lost connection is made anew for ever."""
        tasks = [asyncio.create_task(self._always(part)) for part in (self._tell, self._hear)]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, topics: tuple[Topic, ...]) -> None:
        self._untold |= set(topics)
        self._told.set()

    async def _always(self, part: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._address, autocommit=True, **_CONNECTION
                ) as connection:
                    pause = _FIRST_PAUSE_SECONDS
                    await part(connection)
            except (Error, OSError) as problem:
                _log.warning("wakeups_interrupted", problem=type(problem).__name__)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE_SECONDS)

    async def _tell(self, connection: AsyncConnection) -> None:
        while True:
            await self._told.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._told.clear()
            topics, self._untold = self._untold, set()
            payload = f"{self._name}:{','.join(sorted(topics))}"
            await connection.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, payload))

    async def _hear(self, connection: AsyncConnection) -> None:
        await connection.execute(f"LISTEN {_CHANNEL}".encode())
        self._wakeups.ring(*Topic)
        async for notice in connection.notifies():
            sender, _, names = notice.payload.partition(":")
            if sender != self._name:
                self._wakeups.ring(*(topic for topic in Topic if topic in names.split(",")))
