"""JSON-RPC 2.0 over HTTP to an Ethereum node: one call or a batch, and typed errors.

It speaks through httpx rather than web3, which would cost every agent 16 MB of resident memory.
"""

import asyncio
import json
from collections.abc import Sequence
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import httpx

from soterone.chain.codec import revert
from soterone.chain.errors import ChainUnreachableError, RpcError

MOST_ANSWER_BYTES = 512 * 2**20
_CHUNK_BYTES = 2**16
_PATIENCE = 6
"""A whole answer may take so many times the time without a byte: one that drips does not hold anybody up."""
_REVERT_CODE = 3


class JsonRpc:
    """A connection pool to one RPC endpoint. Safe for concurrent tasks of one event loop."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        self._url = url
        self._ids = count(1)
        self._patience_seconds = _PATIENCE * timeout_seconds
        self._http = httpx.AsyncClient(
            timeout=timeout_seconds,
            limits=httpx.Limits(max_connections=16),
            verify=urlsplit(url).scheme != "http",  # without TLS no certificates need be read: 20 ms and 1 MB
        )

    @property
    def endpoint(self) -> str:
        """Scheme, host and port: what may be shown, since paths and queries of RPC URLs often hold an access key."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    async def call(self, method: str, *parameters: Any) -> Any:
        """Return the result (None is a result too). Errors: ChainUnreachableError, RevertedError, RpcError."""
        return self._result(method, await self._post(self._request(method, parameters)))

    async def batch(self, calls: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """Return the results in the order of `calls`; the first error of any of them is raised."""
        if not calls:
            return []
        requests = [self._request(method, parameters) for method, parameters in calls]
        answers = await self._post(requests)
        if not isinstance(answers, list):
            return [self._result("batch", answers)]
        by_id = {str(answer.get("id")): answer for answer in answers if isinstance(answer, dict)}
        return [self._result(request["method"], by_id.get(str(request["id"]))) for request in requests]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _request(self, method: str, parameters: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(parameters)}

    async def _post(self, body: Any) -> Any:
        status = 0
        try:
            async with (
                asyncio.timeout(self._patience_seconds),
                self._http.stream("POST", self._url, json=body) as answer,
            ):
                status = answer.status_code
                return json.loads(await self._read(answer))
        except (httpx.HTTPError, TimeoutError) as problem:
            raise ChainUnreachableError(self.endpoint, str(problem) or type(problem).__name__) from problem
        except (ValueError, RecursionError) as problem:
            raise ChainUnreachableError(self.endpoint, f"HTTP {status} without JSON") from problem

    async def _read(self, answer: httpx.Response) -> bytes:
        """Return the body, unpacked and bounded: a node may be anybody's."""
        body = bytearray()
        async for chunk in answer.aiter_bytes(_CHUNK_BYTES):
            body += chunk
            if len(body) > MOST_ANSWER_BYTES:
                raise ChainUnreachableError(
                    self.endpoint, f"an answer of more than {MOST_ANSWER_BYTES >> 20} MiB"
                )
        return bytes(body)

    def _result(self, method: str, answer: Any) -> Any:
        return result_of(method, answer, self.endpoint)


def result_of(method: str, answer: Any, endpoint: str) -> Any:
    """Return the result inside a JSON-RPC answer. Errors: RevertedError when a contract refused, RpcError when the
    node did, ChainUnreachableError when it is no such answer."""
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise ChainUnreachableError(endpoint, f"no JSON-RPC answer to {method}")
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    if not isinstance(error, dict):
        raise RpcError(method, 0, str(error))
    told, message = error.get("code"), str(error.get("message", "unknown error"))
    code = told if isinstance(told, int) else 0
    data = _revert_data(error.get("data"))
    if data is not None or code == _REVERT_CODE or "revert" in message.lower():
        raise revert(data or b"", message)
    raise RpcError(method, code, message)


def _revert_data(data: Any) -> bytes | None:
    """Nodes differ: the revert data stand in `data`, in `data.data`, or behind the word `Reverted`."""
    if isinstance(data, dict):
        data = data.get("data")
    if not isinstance(data, str):
        return None
    try:
        return bytes.fromhex(data.removeprefix("Reverted ").removeprefix("0x"))
    except ValueError:
        return None
