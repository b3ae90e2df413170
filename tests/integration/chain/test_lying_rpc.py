"""An RPC that is anybody's: whatever it answers, there is one sentence in bounded time and memory."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from soterone.chain import json_rpc
from soterone.chain.errors import ChainError, ChainUnreachableError
from soterone.chain.json_rpc import JsonRpc

DEEP = b'{"result":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def rpc_that(answers: Answer, timeout_seconds: float = 5.0) -> AsyncIterator[JsonRpc]:
    """A client of a server on loopback that reads each request and then does as it likes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await answers(writer)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = JsonRpc(f"http://127.0.0.1:{port}", timeout_seconds=timeout_seconds)
        try:
            yield client
        finally:
            await client.close()


def body(content: bytes, *headers: str) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(content)}", "Connection: close", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    return answer


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (DEEP, "without JSON"),
        (b"\xff", "without JSON"),
        (b"[]", "no JSON-RPC answer"),
        (b'{"jsonrpc":"2.0","id":[],"error":{"code":"x","message":"no"}}', "refused eth_chainId: no"),
    ],
)
async def test_nonsense_is_one_sentence(content: bytes, complaint: str) -> None:
    async with rpc_that(body(content)) as rpc:
        with pytest.raises(ChainError, match=complaint):
            await rpc.call("eth_chainId")


async def test_answers_to_nothing_that_was_asked_are_no_answers() -> None:
    async with rpc_that(body(b'[{"id":[],"result":1},{"id":null,"result":2},3]')) as rpc:
        with pytest.raises(ChainUnreachableError, match="no JSON-RPC answer"):
            await rpc.batch([("eth_chainId", ())])


async def test_a_packed_answer_is_unpacked_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rpc, "MOST_ANSWER_BYTES", 2**20)
    async with rpc_that(body(gzip.compress(bytes(2**26)), "Content-Encoding: gzip")) as rpc:
        with pytest.raises(ChainUnreachableError, match="more than 1 MiB"):
            await rpc.call("eth_chainId")


async def test_an_answer_that_drips_has_an_end() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with rpc_that(drip, timeout_seconds=0.1) as rpc:
        with pytest.raises(ChainUnreachableError, match="TimeoutError"):
            await rpc.call("eth_chainId")
