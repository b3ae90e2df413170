"""Tells this task's own cancellation from one that only looks like it: a call that the other side cancelled."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

import grpc
import grpc.aio

Answer = TypeVar("Answer")


def heed_cancellation() -> None:
    """Raise CancelledError when this task is to end.

    gRPC raises CancelledError too when the other side cancels a call, and a task group of Python 3.11 swallows a
    cancellation that comes in while a child of it fails: only the task itself knows.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def answer_of(call: Awaitable[Answer]) -> Answer:
    """Await a gRPC call. One that the other side cancelled is a grpc.aio.AioRpcError with UNAVAILABLE."""
    try:
        return await call
    except asyncio.CancelledError as cancelled:
        heed_cancellation()
        nothing = grpc.aio.Metadata()
        sentence = "the other side cancelled the call"
        raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, sentence) from cancelled


async def all_of(calls: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Await all, in order; the first failure ends the rest and is raised as it is.

    A task group of Python 3.11 leaves its task marked as cancelled when a child fails while it waits for the last.
    """
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    except Exception:
        heed_cancellation()
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
