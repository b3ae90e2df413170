"""A cancellation that is meant for a task ends it; one that only a call suffered does not."""

import asyncio
from collections.abc import Awaitable

import grpc
import grpc.aio
import pytest

from node_agent.cancellation import all_of, answer_of
from node_agent.sessions.backoff import Backoff
from node_agent.sessions.leader import PeerAwayError
from node_agent.sessions.retry import until_answered


def cancelled_by_the_other_side() -> Awaitable[str]:
    call: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    call.cancel()
    return call


async def test_a_call_that_the_other_side_cancelled_is_a_failed_call() -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer_of(cancelled_by_the_other_side())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    calls = iter([cancelled_by_the_other_side(), asyncio.sleep(0, "taken")])
    assert await until_answered(lambda: next(calls), Backoff(0.0, 0.0)) == "taken"


async def test_a_task_that_waits_for_an_answer_can_be_cancelled() -> None:
    waiting = asyncio.create_task(answer_of(asyncio.Event().wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_failing_peer_does_not_swallow_the_leaders_end() -> None:
    """The task group of Python 3.11 raises the child's failure alone when both come at once."""

    async def fail_at_the_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise PeerAwayError("gone")

    leading = asyncio.create_task(all_of([fail_at_the_end()]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leading


async def test_the_first_failure_ends_the_rest_and_not_the_one_who_waits() -> None:
    ended = asyncio.Event()

    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise PeerAwayError("gone")

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(PeerAwayError, match="gone"):
        await all_of([fail_later(), wait()])
    assert ended.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
