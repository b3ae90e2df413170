"""What a node must tell the coordinator however long it takes: that a query failed here, that nothing is left."""

import contextlib
import time

import grpc
import grpc.aio

from node_agent.sessions.context import AgentContext
from node_agent.sessions.retry import FOR_GOOD, until_answered
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
ACKNOWLEDGEMENT_VALID_SECONDS = 3600


async def report_failure(
    context: AgentContext, query: QueryId, generation: int, reason: FailureReason, sentence: str
) -> None:
    """Tell the reason until the coordinator has it, or says that the query is over."""
    report = FailureReport(
        query_id=hash_bytes(query), generation=generation, reason=int(reason), sentence=sentence
    )
    with contextlib.suppress(grpc.aio.AioRpcError):
        await until_answered(
            lambda: context.coordinator.ReportFailure(report, timeout=CALL_SECONDS),
            context.backoff,
            for_good=FOR_GOOD | {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS},
        )


async def acknowledge_cleanup(context: AgentContext, query: QueryId) -> None:
    """Promise with this node's signature that nothing is left, until the coordinator has it."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        await until_answered(
            lambda: context.coordinator.AcknowledgeCleanup(_promise(context, query), timeout=CALL_SECONDS),
            context.backoff,
        )


async def fetch_session(context: AgentContext, query: QueryId) -> SessionDescription:
    """Return what the coordinator says of a query; grpc.aio.AioRpcError when it will not say it to this node."""
    request = SessionRequest(query_id=hash_bytes(query))
    return await until_answered(
        lambda: context.coordinator.GetSession(request, timeout=CALL_SECONDS), context.backoff
    )


def _promise(context: AgentContext, query: QueryId) -> CleanupAcknowledgement:
    deadline = int(time.time()) + ACKNOWLEDGEMENT_VALID_SECONDS
    message = CleanupDone(hash_bytes(query), deadline)
    return CleanupAcknowledgement(
        query_id=message.query_id,
        deadline=deadline,
        signature=sign(context.signer, context.ledger, message),
    )
