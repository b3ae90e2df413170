"""What the coordinator's own rows and the chain say of a query while it runs, read beside everybody else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from scripts.chaos.cells import State
from scripts.chaos.ground import Ground
from soterone.chain.events import Event, QueryCompleted, QueryFailed, decode
from soterone.domain.ids import QueryId

POLL_SECONDS = 0.05
"""A state must be met while it lasts; what only has to come some time is looked for less often."""

_PHASE = {
    State.ALIGNING: "align",
    State.SHARING: "share",
    State.TRAINING: "train",
    State.DELIVERING: "deliver",
}


class NotReached(Exception):
    """The query did not get to the state in which something was to break."""


@dataclass(frozen=True, slots=True)
class Told:
    """One row of a query's trail; `at` in Unix seconds."""

    kind: str
    at: float
    data: dict[str, Any]


@dataclass(slots=True)
class Watch:
    """Reads of one query. What cannot be read for a moment counts as nothing new."""

    ground: Ground
    query_id: QueryId
    _engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self._engine = create_engine(self.ground.network.database_url, pool_pre_ping=True)

    def close(self) -> None:
        """Close the connection to the database."""
        self._engine.dispose()

    def rows(self, statement: str, **parameters: object) -> list[dict[str, Any]]:
        """Return rows of the coordinator's database; `:query` stands for the query's id."""
        with self._engine.connect() as connection:
            found = connection.execute(text(statement), {"query": self.query_id, **parameters})
            return [dict(row) for row in found.mappings()]

    def trail(self) -> list[Told]:
        """Return the query's trail so far; nothing while the database cannot be read."""
        statement = "SELECT kind, at, data_json FROM query_events WHERE query_id = :query ORDER BY sequence"
        try:
            return [
                Told(row["kind"], row["at"], json.loads(row["data_json"])) for row in self.rows(statement)
            ]
        except SQLAlchemyError:
            return []

    def chain_events(self) -> list[Event]:
        """Return the contracts' events about the query, in order; nothing while the chain does not answer."""
        try:
            found = [*self._events([None, self.query_id]), *self._events([None, None, self.query_id])]
        except (httpx.HTTPError, RuntimeError):
            return []
        return sorted(found, key=lambda event: event.position)

    def ended(self) -> bool:
        """Say whether the query's end stands on chain."""
        try:
            events = self._events([None, self.query_id])
        except (httpx.HTTPError, RuntimeError):
            return False
        return any(isinstance(event, QueryCompleted | QueryFailed) for event in events)

    def reach(self, state: State, seconds: float) -> None:
        """Wait until the query is in a state; NotReached when it ends before, or does not get there in time."""
        until(lambda: self._is_in(state), seconds, f"the query did not reach {state}")

    def _events(self, topics: list[str | None]) -> list[Event]:
        contracts = self.ground.contracts
        asked = {
            "address": list(contracts.addresses.values()),
            "fromBlock": hex(contracts.start_block),
            "topics": topics,
        }
        logs = self.ground.network.chain.rpc("eth_getLogs", asked)
        return [event for log in logs if (event := decode(log, contracts.chain_id)) is not None]

    def _is_in(self, state: State) -> bool:
        if state is State.CLEANUP:
            return self.ended()
        for told in self.trail():
            if told.kind in ("failed", "cancelled"):
                raise NotReached(f"the query ended before it reached {state}")
            if state is State.DISPATCHED and told.kind == "dispatched":
                return True
            if (
                told.kind == "progress"
                and told.data["phase"] == _PHASE.get(state)
                and _under_way(told, state)
            ):
                return True
        return False


def _under_way(told: Told, state: State) -> bool:
    return state is not State.TRAINING or (
        told.data["detail"].startswith("epoch") and told.data["fraction"] < 1
    )


def until(
    holds: Callable[[], bool], seconds: float, complaint: str, poll_seconds: float = POLL_SECONDS
) -> None:
    """Wait until something holds; NotReached with the complaint when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise NotReached(f"{complaint} within {seconds:.0f} s")
        time.sleep(poll_seconds)
