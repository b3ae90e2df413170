"""Calls that are tried again until they are answered, refused for good, or out of time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import grpc.aio

from node_agent.cancellation import answer_of
from node_agent.sessions.backoff import Backoff

Answer = TypeVar("Answer")

FOR_GOOD = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


async def until_answered(
    call: Callable[[], Awaitable[Answer]],
    backoff: Backoff,
    *,
    patience_seconds: float | None = None,
    for_good: frozenset[grpc.StatusCode] = FOR_GOOD,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Answer:
    """Return the call's answer. Tries again for `patience_seconds` after the first failure (None: for ever).

    Raises the last grpc.aio.AioRpcError when the callee refuses for good, or when patience ends.
    """
    deadline: float | None = None
    for wait in backoff.waits():
        try:
            return await answer_of(call())
        except grpc.aio.AioRpcError as error:
            if deadline is None and patience_seconds is not None:
                deadline = clock() + patience_seconds
            if error.code() in for_good or (deadline is not None and clock() + wait > deadline):
                raise
        await sleep(wait)
    raise AssertionError("waits never end")
