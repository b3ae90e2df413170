"""Sealing what a node computed to the customer's key, and bringing it to the coordinator."""

import asyncio
import contextlib

import grpc
import grpc.aio
import structlog
from eth_utils import keccak

from node_agent.cancellation import answer_of
from node_agent.sessions.context import AgentContext
from node_agent.sessions.order import Order
from node_agent.sessions.retry import FOR_GOOD, until_answered
from soterone.crypto.messages import ResultShare, sign
from soterone.crypto.sealing import seal, share_context
from soterone.domain.ids import hash_bytes
from soterone.rpc.channels import CHUNK_BYTES
from soterone.rpc.generated.coordinator_pb2 import ResultChunk, ResultHeader, ResultReceipt

log = structlog.get_logger()

Delivery = grpc.aio.StreamUnaryCall[ResultChunk, ResultReceipt]

CHUNK_SECONDS = 30.0
"""How long the coordinator may take for one chunk, and for its answer: a slow link is none that broke."""

VOID = frozenset({grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED})
"""The generation was replaced, or the query has ended: nobody wants this result any more."""

CONSTANTS_RANK = 255
"""The rank under which owners deliver their standardisation constants."""


def sealed_result(order: Order, result_key: bytes, generation: int, rank: int, plaintext: bytes) -> bytes:
    """Seal to the customer alone; the context binds query, generation and rank."""
    return seal(result_key, plaintext, share_context(hash_bytes(order.query_id), generation, rank))


async def deliver(context: AgentContext, order: Order, generation: int, rank: int, sealed: bytes) -> bool:
    """Deliver sealed bytes; tries again for T1 after the first failed try. False when they were not taken."""
    header = _header(context, order, generation, rank, sealed)

    async def once() -> bool:
        return await _send(context.coordinator.DeliverResult(), header, sealed)

    try:
        return await until_answered(
            once,
            context.backoff,
            patience_seconds=order.result_retry_seconds,
            for_good=FOR_GOOD | VOID,
            clock=context.clock,
        )
    except grpc.aio.AioRpcError as error:
        if error.code() in VOID:
            return False
        log.warning(
            "result not delivered", query_id=order.query_id, status=error.code().name, why=error.details()
        )
        return False


def _header(context: AgentContext, order: Order, generation: int, rank: int, sealed: bytes) -> ResultHeader:
    query, share_hash = hash_bytes(order.query_id), keccak(sealed)
    return ResultHeader(
        query_id=query,
        generation=generation,
        rank=rank,
        share_hash=share_hash,
        signature=sign(context.signer, context.ledger, ResultShare(query, generation, rank, share_hash)),
        size_bytes=len(sealed),
    )


async def _send(call: "Delivery", header: ResultHeader, sealed: bytes) -> bool:
    """Send chunk by chunk; a chunk that nobody takes in time is the call's DEADLINE_EXCEEDED."""
    try:
        with contextlib.suppress(asyncio.InvalidStateError):  # the call has ended, and says below why
            async with asyncio.timeout(CHUNK_SECONDS):
                await call.write(ResultChunk(header=header))
            for start in range(0, len(sealed), CHUNK_BYTES):
                async with asyncio.timeout(CHUNK_SECONDS):
                    await call.write(ResultChunk(data=sealed[start : start + CHUNK_BYTES]))
            await call.done_writing()
        async with asyncio.timeout(CHUNK_SECONDS):
            return (await answer_of(call)).stored
    except TimeoutError as error:
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, nothing, nothing) from error
    finally:
        call.cancel()
