"""An agent's heartbeats at a tenth of the cost: HTTP/2 (RFC 9113) and gRPC frames by hand over mutual TLS.

Thousands of agents on one machine leave the server room to be measured. What is on the wire is what a real agent sends;
frames that only matter to a full client (flow control of tiny messages, trailers) are answered or skipped.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable

from soterone.rpc.generated.coordinator_pb2 import (
    AgentMessage,
    CoordinatorMessage,
    Heartbeat,
    ResourceSnapshot,
)

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WIDE_WINDOW = 2**30
_PATH = b"/soterone.v1.Agents/Connect"
SNAPSHOT = ResourceSnapshot(
    cpu_fraction=0.25,
    memory_used_bytes=3 * 2**30,
    memory_total_bytes=8 * 2**30,
    disk_free_bytes=2**36,
    load_1min=0.7,
)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _text(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def _opening(authority: bytes) -> bytes:
    """Return all that a client says before its first message; header fields as literals (RFC 7541, 6.2.2)."""
    fields = b"\x83\x87" + b"\x04" + _text(_PATH) + b"\x01" + _text(authority)
    fields += b"\x0f\x10" + _text(b"application/grpc") + b"\x00" + _text(b"te") + _text(b"trailers")
    settings = _frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, _WIDE_WINDOW))
    window = _frame(_WINDOW, 0, 0, struct.pack(">I", _WIDE_WINDOW))
    return _PREFACE + settings + window + _frame(_HEADERS, _END_HEADERS, 1, fields)


class LightStream(asyncio.Protocol):
    """One connection with one stream. `on_answer` gets each acknowledged sequence; `ended` says why it is over."""

    def __init__(self, authority: str, on_answer: Callable[[LightStream, int], None]) -> None:
        self._authority, self._on_answer = authority.encode(), on_answer
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._message = AgentMessage(heartbeat=Heartbeat(snapshot=SNAPSHOT))
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the stream."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_opening(self._authority))

    def beat(self, sequence: int) -> None:
        """Send one heartbeat."""
        if self._transport is None or self._transport.is_closing():
            return
        self._message.sequence = sequence
        body = self._message.SerializeToString()
        self._transport.write(_frame(_DATA, 0, 1, struct.pack(">BI", 0, len(body)) + body))

    def data_received(self, data: bytes) -> None:
        """Take frames apart; one that is not whole waits for its rest."""
        self._unread += data
        while len(self._unread) >= 9:
            size = int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < 9 + size:
                return
            kind, flags = self._unread[3], self._unread[4]
            payload = bytes(self._unread[9 : 9 + size])
            del self._unread[: 9 + size]
            self._take(kind, flags, payload)

    def connection_lost(self, error: Exception | None) -> None:
        """Remember that the connection is gone."""
        self._end("the connection was lost")

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == _DATA:
            answer = CoordinatorMessage.FromString(payload[5:])
            self._on_answer(self, answer.ack.sequence)
        elif kind == _SETTINGS and not flags & _ACK:
            self._send(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._send(_frame(_PING, _ACK, 0, payload))
        elif kind in (_RESET, _GOAWAY) or (kind == _HEADERS and flags & _END_STREAM):
            self._end("the server ended the stream")

    def _send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


async def connect(
    address: str, trust: ssl.SSLContext, on_answer: Callable[[LightStream, int], None]
) -> LightStream:
    """Open a stream over a new connection. OSError when the server cannot be reached."""
    host, port = address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(
        lambda: LightStream(address, on_answer), host, int(port), ssl=trust, ssl_handshake_timeout=60
    )
    return stream
