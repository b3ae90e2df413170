"""What a node must tell the coordinator however long it takes: that a query failed here, that nothing is left."""

import asyncio
import contextlib

import grpc
import grpc.aio

from node_agent.sessions.context import AgentContext
from node_agent.sessions.retry import FOR_GOOD, until_answered
from soterone.chain.errors import ChainError
from soterone.crypto.messages import CleanupDone, sign
from soterone.domain.failures import FailureReason
from soterone.domain.ids import QueryId, hash_bytes
from soterone.rpc.generated.coordinator_pb2 import (
    CleanupAcknowledgement,
    FailureReport,
    SessionDescription,
    SessionRequest,
)

CALL_SECONDS = 5.0
SIGNATURE_VALID_SECONDS = 3600


async def report_failure(
    context: AgentContext,
    query: QueryId,
    generation: int,
    reason: FailureReason,
    sentence: str,
    *,
    heard: bool,
) -> None:
    """Tell the reason until the coordinator has it, or says that the query is over; `heard`: of another participant."""
    report = FailureReport(
        query_id=hash_bytes(query), generation=generation, reason=int(reason), sentence=sentence, heard=heard
    )
    with contextlib.suppress(grpc.aio.AioRpcError):
        await until_answered(
            lambda: context.coordinator.ReportFailure(report, timeout=CALL_SECONDS),
            context.backoff,
            for_good=FOR_GOOD | {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS},
        )


async def acknowledge_cleanup(context: AgentContext, query: QueryId) -> None:
    """Promise with this node's signature that nothing is left, until the coordinator has it."""

    async def promise() -> None:
        promised = _promise(context, query, await deadline_by_the_chain(context))
        await context.coordinator.AcknowledgeCleanup(promised, timeout=CALL_SECONDS)

    with contextlib.suppress(grpc.aio.AioRpcError):
        await until_answered(promise, context.backoff)


async def deadline_by_the_chain(context: AgentContext) -> int:
    """Return until when a signature of now holds, by the time of the newest block: this node's clock may be wrong.

    Waits until the chain can be read.
    """
    for wait in context.backoff.waits():
        try:
            return (await context.chain.head()).timestamp + SIGNATURE_VALID_SECONDS
        except ChainError:
            await asyncio.sleep(wait)
    raise AssertionError("waits never end")


async def fetch_session(context: AgentContext, query: QueryId, generation: int) -> SessionDescription:
    """Return what the coordinator says of a query in a generation; AioRpcError when it will not say it to this node.

    It is waited for while it is away. It may read the announcement of a replacement later than this node: a refusal
    counts only when it has stood for `join_patience_seconds`.
    """
    request = SessionRequest(query_id=hash_bytes(query))
    refused_at: float | None = None
    for wait in context.backoff.waits():
        try:
            description = await until_answered(
                lambda: context.coordinator.GetSession(request, timeout=CALL_SECONDS), context.backoff
            )
            if description.generation == generation:
                return description
        except grpc.aio.AioRpcError:
            refused_at = context.clock() if refused_at is None else refused_at
            if not generation or context.clock() > refused_at + context.limits.join_patience_seconds:
                raise
        await asyncio.sleep(wait)
    raise AssertionError("waits never end")


def _promise(context: AgentContext, query: QueryId, deadline: int) -> CleanupAcknowledgement:
    message = CleanupDone(hash_bytes(query), deadline)
    return CleanupAcknowledgement(
        query_id=message.query_id,
        deadline=deadline,
        signature=sign(context.signer, context.ledger, message),
    )
