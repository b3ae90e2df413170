"""Hears of new blocks over a WebSocket (`eth_subscribe newHeads`) and only wakes; what it hears is never believed."""

import asyncio
import json
import time
from collections.abc import Callable

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

_log = structlog.get_logger(__name__)
_SUBSCRIBE = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
_FIRST_RETRY_SECONDS = 0.2
_LAST_RETRY_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
_UNHEARD_HEADS = 3
_SILENCE_SECONDS = 2.0


class HeadWatch:
    """Calls `wake` at every new head. A lost, refused or silently hanging connection is made again for ever."""

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._url = url
        self._wake = wake
        self._connection: ClientConnection | None = None
        self._heard()

    async def run(self) -> None:
        """Listen until cancelled."""
        retry_seconds = _FIRST_RETRY_SECONDS
        while True:
            try:
                await self._listen()
                retry_seconds = _FIRST_RETRY_SECONDS
            except (OSError, WebSocketException, InvalidURI, InvalidHandshake, ValueError) as problem:
                _log.info("head_watch_lost", problem=type(problem).__name__, retry_seconds=retry_seconds)
                retry_seconds = min(retry_seconds * 2, _LAST_RETRY_SECONDS)
            finally:
                self._wake()
            await asyncio.sleep(retry_seconds)

    def found_head(self) -> None:
        """Tell that a new head was found by asking. After several of which nothing was heard the connection is
        dropped: a node may close gracefully or die in a way that leaves the socket open."""
        self._unheard_heads += 1
        silent_seconds = time.monotonic() - self._last_message_at
        if self._connection and self._unheard_heads >= _UNHEARD_HEADS and silent_seconds > _SILENCE_SECONDS:
            _log.warning("head_watch_silent", seconds=round(silent_seconds, 1))
            self._connection.transport.abort()

    async def _listen(self) -> None:
        async with connect(self._url, open_timeout=5, close_timeout=1, max_size=2**20) as connection:
            self._connection = connection
            self._heard()
            try:
                await connection.send(_SUBSCRIBE)
                # Not wait_for: on Python 3.11 it swallows a cancellation that comes together with the answer.
                async with asyncio.timeout(_ANSWER_SECONDS):
                    answer = json.loads(await connection.recv())
                if "result" not in answer:
                    raise ValueError(f"eth_subscribe was refused: {answer.get('error')}")
                _log.info("head_watch_listens")
                self._wake()
                async for _ in connection:
                    self._heard()
                    self._wake()
            finally:
                self._connection = None

    def _heard(self) -> None:
        self._last_message_at, self._unheard_heads = time.monotonic(), 0
