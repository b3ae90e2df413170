"""Queries as the ledger's events tell of them, with whom took part and what their customers were told. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.chain.handler import told_of
from coordinator.chain.log_rows import LogValues, log_values
from coordinator.chain.projection import OnChain, fold
from coordinator.models.queries import UNKNOWN_SPEC
from coordinator.rebuilding.orders import SignedOrder
from soterone.chain.events import Event, QueryDispatched, ReplacementLimit
from soterone.domain.failures import FailureReason
from soterone.domain.lifecycle import Stage
from soterone.domain.roles import Role

REBUILT = "rebuilt"
"""The kind of the last event of every restored query: the customer hears that the coordinator lost its memory."""

Row = dict[str, Any]
"""Values by column: an object of the table's class would cost ten times as much, a hundred thousand times."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The rows of one query in the tables of queries, participants and their events."""

    query: Row
    participants: list[Row]
    told: list[Row]

    @property
    def unfinished(self) -> bool:
        """Whether the reconciler still has to do with it."""
        return self.query["due_at"] is not None


def restore_query(
    events: Sequence[tuple[Event, int]], order: SignedOrder, operators: Mapping[str, str], now: float
) -> Restored | None:
    """Return the rows of one query from its events in order, each with its block's time (s); None before dispatch.

    `operators`: of each node that ever registered, its latest.
    """
    dispatch = next(((one, time) for one, time in events if isinstance(one, QueryDispatched)), None)
    if dispatch is None:
        return None
    logs = [log_values(event, time) for event, time in events]
    state = fold(logs)
    query = {
        **_ordered(dispatch[0], float(dispatch[1]), order),
        **_reached(state, logs, now),
        "max_replacements": next(
            (one.max_replacements for one, _ in events if isinstance(one, ReplacementLimit)), 0
        ),
    }
    return Restored(query, _participants(dispatch[0], state, operators), _told(query, events, now))


def _ordered(event: QueryDispatched, time: float, order: SignedOrder) -> Row:
    return {
        "id": event.query_id,
        "customer": event.customer,
        "name": "",
        "spec_json": UNKNOWN_SPEC,
        "spec_hash": event.spec_hash,
        "result_key": "",
        "result_key_hash": event.result_key_hash,
        "salt": order.salt,
        "max_run_seconds": event.max_run_seconds,
        "result_retry_seconds": event.result_retry_seconds,
        "cleanup_grace_seconds": event.cleanup_grace_seconds,
        "order_deadline": order.deadline,
        "signature": order.signature,
        "created_at": time,
        "expires_at": time,
        "signed_at": time,
        "dispatched_at": time,
    }


def _reached(state: OnChain, logs: Sequence[LogValues], now: float) -> Row:
    times = {log.name: float(log.block_time) for log in logs}
    running = Stage.RECOVERING if state.replacements else Stage.DISPATCHED
    cleaned = state.cleanup_tx is not None
    return {
        "status": state.end or running,
        "generation": len(state.replacements),
        "chain_generation": len(state.replacements),
        "dispatched_tx": state.dispatched_tx,
        "end_tx": state.end_tx,
        "ended_at": times.get("QueryCompleted", times.get("QueryFailed")),
        "result_hash": state.result_hash,
        "announced_hash": state.result_hash,
        "failure_reason": state.reason,
        "announced_reason": state.reason,
        "failure_sentence": "" if state.reason is None else FailureReason(state.reason).sentence,
        "failure_node": state.node,
        "cleanup_tx": state.cleanup_tx,
        "cleaned_up": cleaned,
        "settled_at": times["QuerySettled"] if state.settled else None,
        "due_at": None if cleaned and state.settled else now,
    }


def _participants(event: QueryDispatched, state: OnChain, operators: Mapping[str, str]) -> list[Row]:
    here: dict[str, Row] = {
        account: {"role": role, "rank": rank, "joined_generation": 0}
        for role, accounts in ((Role.DATA_OWNER, event.owners), (Role.MPC_NODE, event.mpcs))
        for rank, account in enumerate(accounts)
    }
    for step in state.replacements:
        old = here[step.old]
        old["lost_generation"] = step.generation
        here[step.new] = {"role": Role.MPC_NODE, "rank": old["rank"], "joined_generation": step.generation}
    return [
        {
            "query_id": event.query_id,
            "account": account,
            "operator": operators.get(account, account),
            "rating": state.ratings.get(account),
            "lost_generation": None,
            **part,
        }
        for account, part in here.items()
    ]


def _told(query: Row, events: Sequence[tuple[Event, int]], now: float) -> list[Row]:
    told: list[tuple[str, float, Row]] = []
    for event, time in events:
        said = told_of(event, query["failure_sentence"])
        if said is not None:
            told.append((said[0], float(time), said[1]))
    if query["cleaned_up"]:
        told.append(("cleaned-up", now, {}))
    told.append((REBUILT, now, {"unknown": ["spec", "result key", "progress", "result"]}))
    return [
        {
            "query_id": query["id"],
            "sequence": number,
            "kind": kind,
            "at": at,
            "data_json": json.dumps(data, separators=(",", ":")),
        }
        for number, (kind, at, data) in enumerate(told, 1)
    ]
