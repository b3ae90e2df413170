"""Tells this task's own cancellation from one that only looks like it: a call that the other side cancelled."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

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
