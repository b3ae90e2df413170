"""Queries as the ledger's events tell of them, with whom took part and what their customers were told. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.chain.handler import log_of, told_of
from coordinator.chain.projection import OnChain, fold
from coordinator.models.chain import ChainLog
from coordinator.models.nodes import Node
from coordinator.models.queries import UNKNOWN_SPEC, Participant, Query, QueryEventRow
from coordinator.rebuilding.orders import SignedOrder
from soterone.chain.events import Event, QueryDispatched, ReplacementLimit
from soterone.domain.failures import FailureReason
from soterone.domain.lifecycle import Stage
from soterone.domain.roles import Role

REBUILT = "rebuilt"
"""The kind of the last event of every restored query: the customer hears that the coordinator lost its memory."""


@dataclass(frozen=True, slots=True)
class Restored:
    """One query's rows."""

    query: Query
    participants: list[Participant]
    told: list[QueryEventRow]


def restore_query(
    events: Sequence[tuple[Event, int]], order: SignedOrder, nodes: Mapping[str, Node], now: float
) -> Restored | None:
    """Return the rows of one query from its events in order, each with its block's time (s); None before dispatch."""
    dispatch = next(((one, time) for one, time in events if isinstance(one, QueryDispatched)), None)
    if dispatch is None:
        return None
    logs = [log_of(event, time) for event, time in events]
    state = fold(logs)
    query = _query(dispatch[0], float(dispatch[1]), order)
    query.max_replacements = next(
        (one.max_replacements for one, _ in events if isinstance(one, ReplacementLimit)), 0
    )
    _advance(query, state, logs, now)
    return Restored(query, _participants(dispatch[0], state, nodes), _told(query, events, now))


def _query(event: QueryDispatched, time: float, order: SignedOrder) -> Query:
    return Query(
        id=event.query_id,
        customer=event.customer,
        name="",
        status=Stage.DISPATCHED,
        spec_json=UNKNOWN_SPEC,
        spec_hash=event.spec_hash,
        result_key="",
        result_key_hash=event.result_key_hash,
        salt=order.salt,
        max_run_seconds=event.max_run_seconds,
        result_retry_seconds=event.result_retry_seconds,
        cleanup_grace_seconds=event.cleanup_grace_seconds,
        max_replacements=0,
        order_deadline=order.deadline,
        signature=order.signature,
        created_at=time,
        expires_at=time,
        signed_at=time,
        dispatched_at=time,
        dispatched_tx=event.position.transaction_hash,
    )


def _advance(query: Query, state: OnChain, logs: Sequence[ChainLog], now: float) -> None:
    times = {log.name: float(log.block_time) for log in logs}
    query.generation = query.chain_generation = len(state.replacements)
    if state.replacements:
        query.status = Stage.RECOVERING
    if state.end is not None:
        query.status, query.end_tx = state.end, state.end_tx
        query.ended_at = times.get("QueryCompleted", times.get("QueryFailed"))
    query.result_hash = query.announced_hash = state.result_hash
    query.failure_reason = query.announced_reason = state.reason
    query.failure_sentence = "" if state.reason is None else FailureReason(state.reason).sentence
    query.failure_node = state.node
    query.cleanup_tx, query.cleaned_up = state.cleanup_tx, state.cleanup_tx is not None
    query.settled_at = times["QuerySettled"] if state.settled else None
    query.due_at = None if query.cleaned_up and state.settled else now


def _participants(event: QueryDispatched, state: OnChain, nodes: Mapping[str, Node]) -> list[Participant]:
    here: dict[str, Participant] = {
        account: Participant(query_id=event.query_id, account=account, role=role, rank=rank, operator="")
        for role, accounts in ((Role.DATA_OWNER, event.owners), (Role.MPC_NODE, event.mpcs))
        for rank, account in enumerate(accounts)
    }
    for step in state.replacements:
        old = here[step.old]
        old.lost_generation = step.generation
        here[step.new] = Participant(
            query_id=event.query_id, account=step.new, role=Role.MPC_NODE, rank=old.rank, operator="",
            joined_generation=step.generation,
        )  # fmt: skip
    for account, participant in here.items():
        participant.operator = nodes[account].operator if account in nodes else account
        participant.rating = state.ratings.get(account)
    return list(here.values())


def _told(query: Query, events: Sequence[tuple[Event, int]], now: float) -> list[QueryEventRow]:
    told: list[tuple[str, float, dict[str, Any]]] = []
    for event, time in events:
        said = told_of(event, query.failure_sentence)
        if said is not None:
            told.append((said[0], float(time), said[1]))
    if query.cleaned_up:
        told.append(("cleaned-up", now, {}))
    told.append((REBUILT, now, {"unknown": ["spec", "result key", "progress", "result"]}))
    return [
        QueryEventRow(
            query_id=query.id,
            sequence=number,
            kind=kind,
            at=at,
            data_json=json.dumps(data, separators=(",", ":")),
        )
        for number, (kind, at, data) in enumerate(told, 1)
    ]
