"""The state of one query at this node and what follows from it: saved first, then told, and how it fails."""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import structlog

from node_agent.peers.client import Peers
from node_agent.peers.errors import (
    NotReadyError,
    PeerRefusalError,
)
from node_agent.sessions.attempt import Attempt
from node_agent.sessions.context import AgentContext
from node_agent.sessions.losses import Losses
from node_agent.sessions.order import Order
from node_agent.sessions.ports import SessionRecord
from node_agent.sessions.progress import ProgressReporter
from node_agent.sessions.reports import report_failure
from node_agent.sessions.retry import FOR_GOOD, until_answered
from node_agent.sessions.states import ENDED, Fence, IllegalStepError, State, Step, advance
from node_agent.sessions.terms import Terms
from node_agent.workspace.folder import Workspace
from soterone.domain.failures import OWN_DOING, FailureReason
from soterone.domain.ids import Account

log = structlog.get_logger()

ATTEMPT_ONLY = 0
"""The reason in an Abort that ends an attempt but not the query."""

INTERNAL_ERROR = "A node had an internal error; its log says where."


class KeptSession:
    """State, work and failure of one query at this node; what is saved is what is true."""

    def __init__(self, context: AgentContext, record: SessionRecord) -> None:
        self._context = context
        self._record = record
        self.order = Order.from_json(record.order)
        self._terms: Terms | None = None
        self._peers: Peers | None = None
        self._workspace: Workspace | None = None
        self._attempt: Attempt | None = None
        self._previous: Attempt | None = None
        self._changed = asyncio.Event()
        self._unlinked: dict[Account, int] = {}
        self._open_peers: list[Peers] = []
        self._cleanup_ordered = False
        self._replaced = False
        self._complete = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._started_at = context.clock()
        self._ended_at = context.clock()
        self._losses = Losses(context, record.query_id, record.generation)
        self._progress = ProgressReporter(context.coordinator, record.query_id)
        self._log = log.bind(query_id=record.query_id)

    @property
    def state(self) -> State:
        """Where the query stands at this node."""
        return State(self._record.state)

    @property
    def fence(self) -> Fence:
        """The newest (generation, attempt) known here."""
        return Fence(self._record.generation, self._record.attempt)

    @property
    def participants(self) -> tuple[Account, ...]:
        """Everybody who works on the query in this generation."""
        return self.order.participants

    @property
    def owners(self) -> tuple[Account, ...]:
        """The data owners, ascending."""
        return self.order.owners

    @property
    def leader(self) -> Account:
        """The MPC node that numbers the attempts."""
        return self.order.leader

    @property
    def peers(self) -> Peers:
        """The other participants; NotReadyError before the order was accepted."""
        if self._peers is None:
            raise NotReadyError("This node is still examining the order.")
        return self._peers

    @property
    def accepted(self) -> bool:
        """Say whether peers may talk to this session: the order was seen on chain and examined."""
        return self._peers is not None

    async def fail(self, reason: FailureReason, sentence: str) -> None:
        """End the query for everybody: peers now, the coordinator until it has heard."""
        self._log.warning("query failed here", reason=int(reason), why=sentence)
        if await self._fail(reason, sentence) and self._peers is not None:
            self._spawn(self._tell_peers(self.fence, int(reason), sentence))

    async def hear_of_failure(
        self, sentence: str, reason: FailureReason = FailureReason.ENGINE_ERROR
    ) -> None:
        """End the query here, as another participant has; its word comes first."""
        await self._fail(reason, sentence, heard=True)

    def report_loss(self, lost: Account, unlinked: bool) -> None:
        """Tell the coordinator that an MPC node is silent, or not to be computed with; each once a generation."""
        self._spawn(self._losses.report(lost, unlinked=unlinked))

    async def _fail(self, reason: FailureReason, sentence: str, *, heard: bool = False) -> bool:
        """Step to FAILED; False when the session had ended before. What is kept of hearsay is no fault of this node."""
        kept = FailureReason.ENGINE_ERROR if heard and reason in OWN_DOING else reason
        try:
            self._step(Step.FAIL, reason=int(kept), sentence=sentence)
        except IllegalStepError:
            return False
        self._spawn(self._report(reason, sentence, heard=heard))
        await self._drop_attempt()
        return True

    async def _report(self, reason: FailureReason, sentence: str, *, heard: bool = False) -> None:
        """Tell the coordinator. Who only heard of a failure gives its source the time to tell first."""
        if heard:
            await asyncio.sleep(self._context.witness_seconds)
        generation = self.fence.generation
        await report_failure(self._context, self.order.query_id, generation, reason, sentence, heard=heard)

    async def _tell_peers(self, fence: Fence, reason: int, sentence: str) -> None:
        """Tell everybody that an attempt or the query has ended; who is away is told when it is back, for a while."""
        peers = self.peers
        await asyncio.gather(*(self._abort(peers, peer, fence, reason, sentence) for peer in peers.accounts))

    async def _abort(self, peers: Peers, peer: Account, fence: Fence, reason: int, sentence: str) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, PeerRefusalError):
            await until_answered(
                lambda: peers.abort(peer, fence, reason, sentence),
                self._context.backoff,
                patience_seconds=self._context.limits.join_patience_seconds,
                for_good=FOR_GOOD | {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED},
            )

    async def _drop_attempt(self, *, again: bool = False, why: str = "") -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            self._previous = attempt
            await self._stop(attempt, again=again, why=why)

    async def _stop(self, attempt: Attempt, *, again: bool = False, why: str = "") -> None:
        """Stop an attempt to the end, also when who asked for it is cancelled."""
        stopping = asyncio.create_task(attempt.stop(again=again, why=why))
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)
        await asyncio.shield(stopping)

    @property
    def _is_mpc(self) -> bool:
        return self._context.account in self.order.mpcs

    def _equipment(self) -> tuple[Terms, Workspace]:
        if self._terms is None or self._workspace is None:
            raise NotReadyError("This node is still examining the order.")
        return self._terms, self._workspace

    def _step(self, step: Step, **changes: Any) -> None:
        state = advance(self.state, step, owner=not self._is_mpc)
        self._record = replace(self._record, state=state, **changes)
        self._context.store.save_session(self._record)
        if state in ENDED:
            self._ended_at = self._context.clock()
        self._log.info("session", state=state, attempt=self._record.attempt)
        self._changed.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._log.exception("session task failed", error=type(error).__name__)
            await self.fail(FailureReason.ENGINE_ERROR, INTERNAL_ERROR)
