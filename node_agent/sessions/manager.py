"""All queries of one agent: answers offers, takes orders from the chain, and keeps a session for each."""

import asyncio
from dataclasses import replace

import structlog

from node_agent.errors import AgentError
from node_agent.sessions.context import AgentContext
from node_agent.sessions.order import Order, OrderRefusedError
from node_agent.sessions.ports import SessionRecord
from node_agent.sessions.session import Session
from node_agent.sessions.states import LIVE, State
from node_agent.sessions.terms import examine
from soterone.chain.events import (
    Event,
    MPCUpdated,
    QueryCleanup,
    QueryCompleted,
    QueryDispatched,
    QueryFailed,
)
from soterone.crypto.accounts import account_bytes
from soterone.domain.ids import QueryId, query_id
from soterone.rpc.generated.coordinator_pb2 import Offer, OfferAnswer

log = structlog.get_logger()

RESUMED_OFFER_SECONDS = 300.0
"""How long an offer that was accepted before a restart still counts as one."""

RESTART_SECONDS = 5.0
"""How long after an error of its own a session is taken up again from the store."""


class IncompleteHistoryError(AgentError):
    """The chain's RPC does not show all events that led to a generation: it is asked again."""


class Sessions:
    """The heartbeat brings offers, the chain watch brings events, the peer service finds sessions here."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._offers: dict[QueryId, float] = {}
        self._sessions: dict[QueryId, Session] = {}
        self._tasks: dict[QueryId, asyncio.Task[None]] = {}
        self._running = False
        self._resumed = asyncio.Event()

    async def consider(self, offer: Offer) -> OfferAnswer:
        """Answer an offer by what it says, policy and capacity; never raises for a bad offer."""
        description = offer.session
        answer = OfferAnswer(query_id=description.query_id, accepted=True)
        try:
            query = query_id(description.query_id)
            if query not in self._sessions:
                terms = examine(self._context, description)
                self._require_capacity(query)
                if terms.dataset is not None:
                    accepted = self._context.policy.accepted_mpc_operators
                    answer.accepted_operators.extend(map(account_bytes, accepted))
                self._remember(query, offer)
        except OrderRefusedError as refusal:
            answer.accepted, answer.sentence = False, refusal.sentence
        except Exception as error:
            log.exception("offer not understood", error=type(error).__name__)
            answer.accepted, answer.sentence = False, "This node could not read the offer."
        return answer

    async def release(self, query: QueryId) -> None:
        """Forget an accepted offer; nothing happens when it is unknown or ordered."""
        if self._offers.pop(query, None) is not None:
            self._context.store.delete_session(query)

    def query_ids(self) -> list[QueryId]:
        """Return the queries that have state at this node."""
        self._expire_offers()
        return [
            *self._offers,
            *(query for query, one in self._sessions.items() if one.state is not State.CLEANED),
        ]

    def computing(self) -> list[QueryId]:
        """Return the queries that were ordered on chain and are not done here."""
        return [query for query, one in self._sessions.items() if one.accepted and one.state in LIVE]

    def find(self, query: QueryId) -> Session | None:
        """Return a query that was ordered on chain and accepted here, None otherwise."""
        session = self._sessions.get(query)
        return session if session is not None and session.accepted else None

    async def handle(self, event: Event) -> None:
        """Take an event that names this node or one of its queries; idempotent, returns without waiting for work.

        Waits until what a kill left was taken up, and raises when the chain cannot be read: hand it in again then.
        """
        await self._resumed.wait()
        match event:
            case QueryDispatched():
                self._take_order(Order.from_event(event))
            case QueryCompleted():
                if event.query_id in self._sessions:
                    self._sessions[event.query_id].completed()
            case QueryFailed() | QueryCleanup():
                await self.release(event.query_id)
                if event.query_id in self._sessions:
                    self._sessions[event.query_id].order_cleanup()
            case MPCUpdated():
                if event.query_id in self._sessions:
                    self._sessions[event.query_id].replaced(event)
                elif event.new_mpc == self._context.account:
                    self._take_order(await self._succeed(event))

    async def run(self) -> None:
        """Resume what was under way, then keep every session alive until cancelled."""
        self._resume()
        try:
            await asyncio.Event().wait()
        finally:
            self._running = False
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _resume(self) -> None:
        records = {record.query_id: record for record in self._context.store.sessions()}
        living = {query for query, record in records.items() if record.state != State.CLEANED}
        for query in self._context.workspaces.remove_orphans(living):
            log.info("orphaned workspace destroyed", query_id=query)
        self._running = True
        for query, record in records.items():
            if query in self._tasks:
                continue
            if record.order:
                self._begin(self._sessions.get(query) or Session(self._context, record), query)
            else:
                self._offers.setdefault(query, self._context.clock() + RESUMED_OFFER_SECONDS)
        self._resumed.set()

    async def _succeed(self, event: MPCUpdated) -> Order:
        """Return the order that this node succeeds in, as the chain tells it from the dispatch on."""
        order: Order | None = None
        for one in await self._context.chain.events_of_query(event.query_id, event.position.block_number):
            match one:
                case QueryDispatched():
                    order = Order.from_event(one)
                case MPCUpdated() if order is not None and one.generation <= event.generation:
                    order = order.replaced(one)
        if order is None or order.generation != event.generation:
            raise IncompleteHistoryError(
                f"the chain's RPC does not show how query {event.query_id} came to generation {event.generation}"
            )
        return order

    def _take_order(self, order: Order) -> None:
        query = order.query_id
        if self._context.account not in order.participants or query in self._sessions:
            return
        record = self._context.store.session(query) or SessionRecord(query, State.OFFERED)
        if record.order:
            return
        self._offers.pop(query, None)
        record = replace(record, order=order.to_json(), generation=order.generation)
        self._context.store.save_session(record)
        session = self._sessions[query] = Session(self._context, record)
        if self._running:
            self._begin(session, query)

    def _begin(self, session: Session, query: QueryId) -> None:
        self._sessions[query] = session
        task = self._tasks[query] = asyncio.create_task(session.live(), name=f"session {query}")
        task.add_done_callback(lambda done: self._ended(query, done))

    def _ended(self, query: QueryId, task: asyncio.Task[None]) -> None:
        self._tasks.pop(query, None)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("session ended with an error", query_id=query, error=repr(error))
            asyncio.get_running_loop().call_later(RESTART_SECONDS, self._restart, query)
            return
        self._sessions.pop(query, None)

    def _restart(self, query: QueryId) -> None:
        """Take a session up as after a restart of the agent: none stays alive, or uncleaned, for a passing error."""
        if not self._running or query in self._tasks:
            return
        if (record := self._context.store.session(query)) is not None:
            self._begin(Session(self._context, record), query)

    def _require_capacity(self, query: QueryId) -> None:
        self._expire_offers()
        busy = len(self._offers.keys() - {query})
        busy += sum(one.state in LIVE or one.state is State.OFFERED for one in self._sessions.values())
        if busy >= self._context.limits.max_sessions:
            raise OrderRefusedError(
                f"This node works on {busy} queries already, as many as it can; propose again later."
            )

    def _remember(self, query: QueryId, offer: Offer) -> None:
        self._context.store.save_session(
            SessionRecord(query, State.OFFERED, description=offer.session.SerializeToString())
        )
        self._offers[query] = self._context.clock() + offer.expires_in_seconds

    def _expire_offers(self) -> None:
        now = self._context.clock()
        for query in [query for query, until in self._offers.items() if until <= now]:
            del self._offers[query]
            self._context.store.delete_session(query)
