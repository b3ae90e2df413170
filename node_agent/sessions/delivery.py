"""Sealing what a node computed to the customer's key, and bringing it to the coordinator."""

from collections.abc import AsyncIterator

import grpc.aio
import structlog
from eth_utils import keccak

from node_agent.sessions.context import AgentContext
from node_agent.sessions.order import Order
from node_agent.sessions.retry import until_answered
from soterone.crypto.messages import ResultShare, sign
from soterone.crypto.sealing import seal, share_context
from soterone.domain.ids import hash_bytes
from soterone.rpc.channels import CHUNK_BYTES
from soterone.rpc.generated.coordinator_pb2 import ResultChunk, ResultHeader

log = structlog.get_logger()

CALL_SECONDS = 120.0
CONSTANTS_RANK = 255
"""The rank under which owners deliver their standardisation constants."""


def sealed_result(order: Order, result_key: bytes, generation: int, rank: int, plaintext: bytes) -> bytes:
    """Seal to the customer alone; the context binds query, generation and rank."""
    return seal(result_key, plaintext, share_context(hash_bytes(order.query_id), generation, rank))


async def deliver(context: AgentContext, order: Order, generation: int, rank: int, sealed: bytes) -> bool:
    """Deliver sealed bytes; tries again for T1 after the first failed try. False when they were not taken."""
    header = _header(context, order, generation, rank, sealed)

    async def once() -> bool:
        call = context.coordinator.DeliverResult(_chunks(header, sealed), timeout=CALL_SECONDS)
        return (await call).stored

    try:
        return await until_answered(
            once, context.backoff, patience_seconds=order.result_retry_seconds, clock=context.clock
        )
    except grpc.aio.AioRpcError as error:
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


async def _chunks(header: ResultHeader, sealed: bytes) -> AsyncIterator[ResultChunk]:
    yield ResultChunk(header=header)
    for start in range(0, len(sealed), CHUNK_BYTES):
        yield ResultChunk(data=sealed[start : start + CHUNK_BYTES])
