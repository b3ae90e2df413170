"""What the chain says of a query, folded from its logs, so that taking logs away again takes their effect away too."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.models.chain import ChainLog
from coordinator.models.queries import Query
from coordinator.queries import repository
from coordinator.queries.orders import order_of
from coordinator.queries.successions import Replaced, follow_replacements
from coordinator.resources import service as resources
from soterone.chain.calls import NOBODY
from soterone.crypto.messages import QueryOrder
from soterone.domain.failures import FailureReason
from soterone.domain.ids import hash32
from soterone.domain.lifecycle import Stage


@dataclass(frozen=True, slots=True)
class OnChain:
    """A query as its events tell it; None where an event has not come."""

    dispatched_tx: str | None = None
    replacements: tuple[Replaced, ...] = ()
    end: Stage | None = None
    end_tx: str | None = None
    end_block: int | None = None
    result_hash: str | None = None
    reason: int | None = None
    node: str | None = None
    cleanup_tx: str | None = None
    settled: bool = False
    ratings: dict[str, int] = field(default_factory=dict)


class Told(Protocol):
    """What `fold` reads of a log, be it a row or not."""

    @property
    def name(self) -> str: ...
    @property
    def transaction_hash(self) -> str: ...
    @property
    def block_number(self) -> int: ...
    @property
    def data_json(self) -> str: ...


def fold(logs: Iterable[Told]) -> OnChain:
    """Return what the logs of one query, in the chain's order, add up to."""
    state = OnChain()
    for log in logs:
        state = _step(state, log)
    return state


def _step(state: OnChain, log: Told) -> OnChain:
    data = json.loads(log.data_json)
    tx, block = log.transaction_hash, log.block_number
    match log.name:
        case "QueryDispatched":
            return replace(state, dispatched_tx=tx)
        case "MPCUpdated":
            step = Replaced(data["generation"], data["old_mpc"], data["new_mpc"])
            return replace(state, replacements=(*state.replacements, step))
        case "QueryCompleted":
            ended = replace(state, end=Stage.COMPLETED, end_tx=tx, end_block=block)
            return replace(ended, result_hash=data["result_hash"])
        case "QueryFailed":
            cancelled = data["reason"] == FailureReason.CANCELLED
            ended = replace(
                state, end=Stage.CANCELLED if cancelled else Stage.FAILED, end_tx=tx, end_block=block
            )
            node = None if data["node"] == NOBODY else data["node"]
            return replace(ended, reason=data["reason"], node=node)
        case "QueryCleanup":
            return replace(state, cleanup_tx=tx)
        case "QuerySettled":
            return replace(state, settled=True)
        case "FeedbackGiven":
            given = dict(zip(data["nodes"], data["ratings"], strict=True))
            return replace(state, ratings=state.ratings | given)
    return state


async def on_chain(session: AsyncSession, query: Query) -> OnChain:
    """Return what the chain has said of a query so far.

    A customer may dispatch another order under the same id than was proposed: that one is nothing to us, and its
    nodes refuse it.
    """
    logs = list(
        await session.scalars(
            select(ChainLog)
            .where(col(ChainLog.query_id) == query.id)
            .order_by(col(ChainLog.block_number), col(ChainLog.log_index))
        )
    )
    order = order_of(query, await repository.participants_of(session, query.id))
    announced = [json.loads(log.data_json) for log in logs if log.name == "QueryDispatched"]
    limits = [json.loads(log.data_json) for log in logs if log.name == "ReplacementLimit"]
    limited = all(data["max_replacements"] == order.max_replacements for data in limits)
    return fold(logs) if limited and all(_is_ours(data, order) for data in announced) else OnChain()


def _is_ours(data: dict[str, Any], order: QueryOrder) -> bool:
    announced = (data["customer"], data["spec_hash"], data["result_key_hash"])
    named = (data["owners"], data["mpcs"])
    timers = (data["max_run_seconds"], data["result_retry_seconds"], data["cleanup_grace_seconds"])
    return (
        announced == (order.customer, hash32(order.spec_hash), hash32(order.result_key_hash))
        and named == (list(order.owners), list(order.mpcs))
        and timers == (order.max_run_seconds, order.result_retry_seconds, order.cleanup_grace_seconds)
    )


async def project(session: AsyncSession, query_id: str) -> None:
    """Bring a query's row in line with its logs, whichever way they changed; a query unknown here stays so."""
    query = await repository.get(session, query_id, lock=True)
    if query is None:
        return
    state = await on_chain(session, query)
    now = await repository.now(session)
    if state.dispatched_tx is not None and query.dispatched_at is None:
        await resources.keep(session, query_id)
    _project_dispatch(query, state, now)
    await follow_replacements(session, query, state.replacements)
    _project_end(query, state, now)
    query.cleanup_tx = state.cleanup_tx
    query.settled_at = (query.settled_at or now) if state.settled else None
    query.due_at = now
    await _project_ratings(session, query, state)
    await repository.note_cleaned(session, query)


def _project_dispatch(query: Query, state: OnChain, now: float) -> None:
    if state.dispatched_tx is None:
        if query.dispatched_at is not None:
            query.status = Stage.RESERVED
        query.dispatched_at = query.dispatched_tx = None
        return
    if query.dispatched_at is None:
        query.status, query.dispatched_at = Stage.DISPATCHED, now
        query.ended_at = query.failure_reason = None
    query.dispatched_tx = state.dispatched_tx


def _project_end(query: Query, state: OnChain, now: float) -> None:
    if state.end is None:
        if query.end_tx is not None:
            query.status = Stage.RUNNING if query.dispatched_at is not None else Stage.RESERVED
            query.ended_at = query.end_tx = query.result_hash = query.failure_reason = query.failure_node = (
                None
            )
        return
    query.status, query.end_tx, query.result_hash = state.end, state.end_tx, state.result_hash
    query.ended_at = query.ended_at or now
    query.failure_reason, query.failure_node = state.reason, state.node
    if state.reason is not None and state.reason != query.announced_reason:
        query.failure_sentence = FailureReason(state.reason).sentence


async def _project_ratings(session: AsyncSession, query: Query, state: OnChain) -> None:
    for participant in await repository.participants_of(session, query.id):
        participant.rating = state.ratings.get(participant.account)
