"""Looks at every request before the application does: size, speed and text of the body, headers of the answer.

A body is read whole first (it is at most `max_body_bytes`), so nobody holds a handler by sending slowly.
"""

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coordinator.context import Context
from coordinator.errors import Malformed, TooLarge
from coordinator.problems import problem, refusal

_BODY_SECONDS: Final = 10.0
_DECEIVING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_ESCAPED = re.compile(rb"\\u(00(0[0-8bcef]|1[0-9a-f]|7f)|202[a-e]|206[6-9])", re.IGNORECASE)
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"cache-control", b"no-store"),
)


class Gatekeeper:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal itself, or hand the request on with its body read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, answer = time.monotonic(), _Answer(send)
        try:
            body = await self._read(scope, receive)
            check_text(scope, body)
            await self._within_time(scope, _Replay(body, receive), answer)
        except (TooLarge, Malformed) as error:
            await refusal(error, scope["path"])(scope, receive, answer)
        except TimeoutError:
            await _too_slow(scope, receive, answer)
        finally:
            self._count(scope, answer.status, time.monotonic() - started)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        limit, body = self._context.settings.max_body_bytes, bytearray()
        if _content_length(scope["headers"]) > limit:
            raise TooLarge(f"a request body has at most {limit} bytes")
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > limit:
                    raise TooLarge(f"a request body has at most {limit} bytes")
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return bytes(body)

    async def _within_time(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        limit = None if scope["path"].endswith("/events") else self._context.settings.request_timeout_seconds
        async with asyncio.timeout(limit):
            await self._app(scope, receive, answer)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._context.metrics.requests.labels(scope["method"], route, str(status)).inc()
        self._context.metrics.request_seconds.labels(route).observe(seconds)


class _Replay:
    """Gives the body that was read, then whatever comes next (the disconnect)."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Answer:
    """Passes the answer on with the headers that every answer bears, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name.lower() for name, _ in message["headers"]}
            more = [header for header in _HEADERS if header[0] not in given]
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)


def check_text(scope: Scope, body: bytes) -> None:
    """Malformed for control and direction characters anywhere in the address or a JSON body, escaped or not."""
    address = f"{scope['path']}?{unquote(scope['query_string'].decode('latin-1'))}"
    if _DECEIVING.search(address):
        raise Malformed("the address has control or direction characters")
    if not body:
        return
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8 text") from None
    if _DECEIVING.search(text) or _ESCAPED.search(body):
        raise Malformed("the body has control or direction characters")


def _content_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    value = next((value for name, value in headers if name == b"content-length"), b"0")
    return int(value) if value.isdigit() else 0


async def _too_slow(scope: Scope, receive: Receive, answer: _Answer) -> None:
    if answer.status == 0:
        sentence = "this took too long and was given up; try again"
        await problem(408, sentence, scope["path"])(scope, receive, answer)
