"""One cell lived through: a query is brought to a state, something breaks, the query ends, the broken comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from sqlalchemy.exc import SQLAlchemyError

from scripts.chaos.cells import SERVICES, Cell, Fault, State
from scripts.chaos.checks import Facts, bad_evidence, complaints_about
from scripts.chaos.endings import describe, end_of
from scripts.chaos.expectations import End, ends
from scripts.chaos.faults import Breakage, inject
from scripts.chaos.ground import TIMERS, Ground, GroundError
from scripts.chaos.outcome import Complaint, Outcome, Times, Verdict
from scripts.chaos.remains import remains_of, sessions_of
from scripts.chaos.victims import parties
from scripts.chaos.watch import NotReached, Told, Watch, until
from scripts.devnet.process import ProcessError
from soterone.chain.errors import ChainError
from soterone.chain.events import QueryCleanup, QuerySettled
from soterone.client.errors import ClientError, Refused, Unreachable
from soterone.client.model import Model
from soterone.client.query import Query
from soterone.crypto.messages import QueryOrder, query_id_of
from soterone.domain.ids import Account

REACH_SECONDS = 60.0
END_SECONDS = 150.0
REST_SECONDS = 60.0
_REST_POLL_SECONDS = 0.25
_LAUNCH_SECONDS = 60.0
_UNAVAILABLE = (502, 503, 504)
_TROUBLE = (
    ClientError,
    GroundError,
    ProcessError,
    ChainError,
    SQLAlchemyError,
    httpx.HTTPError,
    OSError,
    RuntimeError,
)
"""What a network that does not do its work makes calls raise."""


@dataclass(slots=True)
class Runner:
    """Runs cells in one network, one after the other. `baseline` is the model of a query in which nothing broke."""

    ground: Ground
    baseline: Model | None = None

    def calm(self) -> None:
        """Run one query in which nothing breaks; its model is what all others are compared with."""
        query = self.ground.customer.submit(self.ground.spec, TIMERS)
        query.wait()
        self.baseline = query.model()

    def run(self, cell: Cell) -> Outcome:
        """Run one cell; whatever goes wrong in it becomes a complaint."""
        began = time.monotonic()
        run = _Run(self.ground, cell, self.baseline)
        try:
            outcome = run.through()
        except _TROUBLE as error:
            outcome = Outcome(
                cell, complaints=(Complaint(Verdict.WRONG, f"{type(error).__name__}: {error}"),)
            )
        finally:
            run.close()
        return Outcome(cell, outcome.end, outcome.times, outcome.complaints, seconds=time.monotonic() - began)


class _Run:
    def __init__(self, ground: Ground, cell: Cell, baseline: Model | None) -> None:
        self._ground, self._cell, self._baseline = ground, cell, baseline
        self._watch: Watch | None = None
        self._breakage: Breakage | None = None

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        if self._breakage is not None:
            self._breakage.forget()

    def through(self) -> Outcome:
        cell = self._cell
        try:
            self._ground.wait_online()
            before = bad_evidence(self._ground)
            order = self._ground.customer.propose(self._ground.spec, TIMERS)
            watch = self._watched(order)
            query = self._launch(order, watch)
            self._break_at(order, watch)
        except NotReached as error:
            self._mend()
            return Outcome(cell, complaints=(Complaint(Verdict.MISSED, str(error)),))
        ended = self._await(watch.ended, END_SECONDS)
        self._mend()
        if not ended:
            return Outcome(cell, complaints=(Complaint(Verdict.STUCK, self._where(watch)),))
        self._await(lambda: self._at_rest(watch, query), REST_SECONDS)
        facts = Facts(self._ground, watch, query, self._ends(), self._victims(), before, self._baseline)
        end = end_of(watch.chain_events())
        return Outcome(cell, describe(end) if end else "", self._times(watch), tuple(complaints_about(facts)))

    def _watched(self, order: QueryOrder) -> Watch:
        customer = self._ground.customer
        identifier = query_id_of(customer.connection.ledger_domain, customer.account, order.salt)
        self._watch = Watch(self._ground, identifier)
        return self._watch

    def _launch(self, order: QueryOrder, watch: Watch) -> Query:
        if self._cell.state is State.RESERVED:
            self._inject(order)
        deadline = time.monotonic() + _LAUNCH_SECONDS
        while True:
            try:
                return self._ground.customer.launch(order)
            except Unreachable as error:
                problem: Exception = error
            except Refused as error:
                if error.status not in _UNAVAILABLE:
                    raise NotReached(f"the order was refused: {error}") from error
                problem = error
            if time.monotonic() > deadline:
                raise NotReached(f"the order could not be launched: {problem}") from problem
            time.sleep(0.5)

    def _break_at(self, order: QueryOrder, watch: Watch) -> None:
        if self._cell.state is not State.RESERVED:
            watch.reach(self._cell.state, REACH_SECONDS)
            self._inject(order)

    def _inject(self, order: QueryOrder) -> None:
        until_mended = self._cell.victim.is_agent or self._cell.victim in SERVICES
        broken = parties(self._ground, self._cell, order)
        self._breakage = inject(self._ground, self._cell.fault, broken, until_mended=until_mended)

    def _victims(self) -> tuple[Account, ...]:
        agents = self._ground.network.agents
        broken = self._breakage.parties if self._breakage is not None else ()
        return tuple(agents[name].account for name in broken if name in agents)

    def _ends(self) -> tuple[End, ...]:
        breakage = self._breakage
        away = None
        if breakage is not None and breakage.mended_at is not None and breakage.fault is Fault.RESTART:
            away = breakage.mended_at - breakage.at
        return ends(self._cell, away)

    def _mend(self) -> None:
        if self._breakage is not None:
            self._breakage.outlast()

    def _await(self, holds: Callable[[], bool], seconds: float) -> bool:
        try:
            until(holds, seconds, "", _REST_POLL_SECONDS)
        except NotReached:
            return False
        return True

    def _at_rest(self, watch: Watch, query: Query) -> bool:
        try:
            view = query.view()
        except (Unreachable, Refused):
            return False
        kinds = {type(event) for event in watch.chain_events()}
        left = [*sessions_of(self._ground), *remains_of(self._ground)]
        return view.cleaned_up and {QueryCleanup, QuerySettled} <= kinds and not left

    def _where(self, watch: Watch) -> str:
        last = watch.trail()[-3:]
        told = "; ".join(f"{one.kind} {one.data}" for one in last)
        return f"no end within {END_SECONDS:.0f} s; the last of its trail: {told}"

    def _times(self, watch: Watch) -> Times:
        breakage, trail = self._breakage, watch.trail()
        if breakage is None:
            return Times()

        def after(since: float, *kinds: str) -> float | None:
            return next((one.at for one in trail if _kind(one) in kinds and one.at > since), None)

        replaced = after(breakage.at, "mpc-updated")
        training = after(replaced or breakage.at, "train")
        ended = after(breakage.at, "completed", "failed")
        return Times(
            *(
                None if at is None else round(at - breakage.at, 1)
                for at in (breakage.mended_at, replaced, training, ended)
            )
        )


def _kind(told: Told) -> str:
    """Return what a row of the trail is about: for progress the phase."""
    return str(told.data["phase"]) if told.kind == "progress" else told.kind
