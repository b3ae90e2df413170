"""One query at this node: the shell around `states`, from the order on chain to the signed cleanup.

Every change of state is saved before anybody is told. What other participants may do is in the methods of
`PeerSession`; who may call them was decided by the peer service.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import grpc.aio
import structlog

from node_agent.engines.base import EngineError, Progress
from node_agent.peers.client import Peers
from node_agent.peers.errors import (
    MalformedError,
    NotAllowedError,
    NotReadyError,
    PeerRefusalError,
    SessionOverError,
    StaleFenceError,
    TooLargeError,
)
from node_agent.sessions import computing
from node_agent.sessions.attempt import Attempt, Outcome
from node_agent.sessions.context import AgentContext
from node_agent.sessions.delivery import CONSTANTS_RANK, deliver
from node_agent.sessions.incoming import IncomingShare
from node_agent.sessions.leader import lead
from node_agent.sessions.order import Order, OrderRefusedError
from node_agent.sessions.plan import Seat
from node_agent.sessions.port_range import NoPortError
from node_agent.sessions.ports import SessionRecord
from node_agent.sessions.progress import ProgressReporter, described
from node_agent.sessions.reports import acknowledge_cleanup, report_failure
from node_agent.sessions.roster import RosterError, check_roster, signed_address
from node_agent.sessions.states import COMPUTING, ENDED, LIVE, Fence, IllegalStepError, State, Step, advance
from node_agent.sessions.terms import Terms, agree
from node_agent.workspace.folder import QuotaError, Workspace, WorkspaceError
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.rpc.generated.peer_pb2 import EngineAddress

log = structlog.get_logger()

ATTEMPT_ONLY = 0
"""The reason in an Abort that ends an attempt but not the query."""

PEER_REASONS = frozenset(
    {
        FailureReason.TOO_FEW_COMMON_ROWS,
        FailureReason.ENGINE_ERROR,
        FailureReason.POLICY_REFUSED,
        FailureReason.TIMED_OUT,
        FailureReason.BAD_DATA,
    }
)
INTERNAL_ERROR = "A node had an internal error; its log says where."
ENDED_ON_CHAIN = 3
"""From this QueryLedger status on a query has failed or is cleaned up; 2 is completed."""


class Session:
    """A query that stands on chain. `live` runs until nothing of it is left here."""

    def __init__(self, context: AgentContext, record: SessionRecord) -> None:
        self._context = context
        self._record = record
        self.order = Order.from_json(record.order)
        self._terms: Terms | None = None
        self._peers: Peers | None = None
        self._workspace: Workspace | None = None
        self._attempt: Attempt | None = None
        self._changed = asyncio.Event()
        self._cleanup_ordered = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._started_at = context.clock()
        self._ended_at = context.clock()
        self._progress = ProgressReporter(context.coordinator, record.query_id)
        self._log = log.bind(query_id=record.query_id)

    # What others may know.

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

    # The life of a session.

    async def live(self) -> None:
        """Run the query's part of this node to its end. Cancelling stops the work and leaves the state stored."""
        try:
            self._spawn(self._progress.run())
            self._spawn(self._begin())
            await self._until_cleanup()
            await self._stop_work()
            await self._clean_up()
        finally:
            await self._stop_work()

    def completed(self) -> None:
        """The chain says that the query has its result: further work is in vain."""
        if self.state in LIVE:
            self._step(Step.COMPLETE)
            self._spawn(self._drop_attempt())

    def order_cleanup(self) -> None:
        """The chain says that the query failed, or that everybody cleans up."""
        self._cleanup_ordered = True
        self._changed.set()

    async def _begin(self) -> None:
        first = self.state is State.OFFERED
        if self.state is State.CLEANED or (not first and await self._over_on_chain()):
            return self.order_cleanup()
        if self.state is State.FAILED:
            return self._spawn(self._report(FailureReason(self._record.reason), self._record.sentence))
        if self.state is State.DONE:
            return None
        try:
            terms = await agree(self._context, self.order, self._record.description, ask_policy=first)
            self._adopt(terms)
        except OrderRefusedError as refusal:
            return await self.fail(refusal.reason, refusal.sentence)
        await (self._take_order() if first else self._resume())
        if self.state is State.ORDERED and self.leader == self._context.account:
            self._spawn(lead(self, self._context.limits.join_patience_seconds))
        return None

    def _adopt(self, terms: Terms) -> None:
        self._terms = terms
        self._workspace = self._context.workspaces.open(self.order.query_id)
        self._record = replace(self._record, description=terms.description.SerializeToString())
        self._peers = Peers(self.order.query_id, self._context.tls, terms.peers)
        self._peers.connect()

    async def _take_order(self) -> None:
        self._step(Step.ORDER)
        self._progress.tell(self.fence, "accepted", 1.0)

    async def _resume(self) -> None:
        """Go on after a restart: what was computed is delivered, a broken attempt is given up."""
        self._log.info("session resumed", state=self.state)
        if self.state is State.DELIVERING:
            self._spawn(self._deliver())
        elif self.state in (State.JOINED, State.RUNNING):
            self._step(Step.RETRY)
            await self._tell_peers(self.fence, ATTEMPT_ONLY, "This node was restarted.")

    async def _over_on_chain(self) -> bool:
        for wait in self._context.backoff.waits():
            try:
                status = await self._context.status_of(self.order.query_id)
            except Exception as error:
                self._log.warning("chain away", why=type(error).__name__)
                await asyncio.sleep(wait)
            else:
                if status == ENDED_ON_CHAIN - 1:
                    self.completed()
                return status >= ENDED_ON_CHAIN
        raise AssertionError("waits never end")

    async def _until_cleanup(self) -> None:
        while not self._cleanup_ordered:
            self._changed.clear()
            due = self._due_at()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._context.clock())):
                    await self._changed.wait()
            due = self._due_at()
            if due is None or self._context.clock() < due:
                continue
            if self.state not in COMPUTING:
                return
            limit = self.order.max_run_seconds
            await self.fail(
                FailureReason.TIMED_OUT, f"The query ran longer than the {limit} seconds it was ordered for."
            )

    def _due_at(self) -> float | None:
        """Return when, by the monotonic clock, something is due: the time limit, or the cleanup without a word."""
        if self.state in COMPUTING:
            return self._started_at + self.order.max_run_seconds
        if self.state in ENDED:
            grace = self.order.result_retry_seconds + self.order.cleanup_grace_seconds
            return max(self._ended_at, self._context.last_contact()) + grace
        return None

    async def _clean_up(self) -> None:
        workspace = self._workspace or self._context.workspaces.open(self.order.query_id)
        await asyncio.to_thread(workspace.destroy)
        self._record = replace(self._record, description=b"")
        self._step(Step.CLEAN)
        await acknowledge_cleanup(self._context, self.order.query_id)
        self._context.store.delete_session(self.order.query_id)

    async def _stop_work(self) -> None:
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._drop_attempt()
        await asyncio.gather(*self._stopping, return_exceptions=True)
        if self._peers is not None:
            await self._peers.close()

    # What the leader and the other participants ask for.

    async def join(self, fence: Fence) -> EngineAddress:
        """Open an attempt and say where this node's engine will listen; idempotent for one fence."""
        self._require_live()
        if not self.fence.admits_join(fence):
            raise StaleFenceError(
                f"This node is at attempt {self.fence.attempt} of generation {self.fence.generation}."
            )
        if self._attempt is None or self._attempt.fence != fence:
            if fence == self.fence:
                raise StaleFenceError(f"Attempt {fence.attempt} has already ended at this node.")
            await self._open(fence)
        if self._attempt is None:
            raise StaleFenceError("The attempt ended while this node joined it.")
        return signed_address(
            self._context.signer, self._context.ledger, self.order, fence, self._attempt.engine
        )

    async def start(self, fence: Fence, engines: list[EngineAddress]) -> None:
        """Start the open attempt; idempotent."""
        attempt = self._require_open(fence)
        if self.state is State.RUNNING:
            return
        try:
            roster = check_roster(self._context.ledger, self.order, fence, engines)
        except RosterError as error:
            raise MalformedError(str(error)) from error
        seat = Seat(self._context.account, self.order, fence, attempt.identity.private_key_pem, roster)
        self._step(Step.START)
        attempt.begin(self._compute(attempt, seat))

    @contextlib.contextmanager
    def receive(self, fence: Fence, owner: Account) -> Iterator[IncomingShare]:
        """Take an owner's share for the open attempt; leaving without `commit` drops it."""
        attempt = self._require_open(fence)
        if self._context.account not in self.order.mpcs or self._workspace is None:
            raise NotAllowedError("This node is a data owner of the query: it takes no shares.")
        try:
            with IncomingShare.open(self._workspace, attempt, self.order, owner) as share:
                yield share
        except QuotaError as error:
            raise TooLargeError(f"This node's quota is spent: {error}.") from error
        except OSError as error:
            self._log.error("share not stored", why=error.strerror)
            raise TooLargeError("This node has no room left for the share.") from error

    async def aborted(self, fence: Fence, by: Account, reason: int, sentence: str) -> None:
        """End the attempt (reason 0) or the query, as another participant says."""
        if reason == ATTEMPT_ONLY:
            if self._attempt is not None and fence == self._attempt.fence:
                self._log.info("attempt ended by a peer", peer=by, why=sentence)
                await self._retry()
            return
        if reason not in PEER_REASONS:
            raise MalformedError("This is no reason for which a participant ends a query.")
        self._log.warning("query ended by a peer", peer=by, reason=reason, why=sentence)
        await self._fail(FailureReason(reason), sentence, self._context.witness_seconds)

    async def outcome(self, fence: Fence) -> Outcome:
        """Wait until an attempt has ended here."""
        if self._attempt is None or self._attempt.fence != fence:
            return Outcome.RETRY if self.state is State.ORDERED else Outcome.OVER
        return await asyncio.shield(self._attempt.outcome)

    async def give_up(self, fence: Fence, sentence: str) -> None:
        """End the attempt for everybody, but not the query."""
        if self._attempt is not None and self._attempt.fence == fence:
            await self._retry()
            await self._tell_peers(fence, ATTEMPT_ONLY, sentence)

    async def fail(self, reason: FailureReason, sentence: str) -> None:
        """End the query for everybody: peers now, the coordinator until it has heard."""
        self._log.warning("query failed here", reason=int(reason), why=sentence)
        if await self._fail(reason, sentence) and self._peers is not None:
            await self._tell_peers(self.fence, int(reason), sentence)

    async def hear_of_failure(self, sentence: str) -> None:
        """End the query here, as another participant has; its word comes first."""
        await self._fail(FailureReason.ENGINE_ERROR, sentence, self._context.witness_seconds)

    # The work.

    async def _open(self, fence: Fence) -> None:
        old, (terms, workspace) = self._attempt, self._equipment()
        try:
            attempt = Attempt.open(
                self._context.account,
                fence,
                terms.host,
                workspace.scratch(f"attempt-{fence.generation}-{fence.attempt}"),
                self._context.engine_ports,
                dt.timedelta(seconds=self.order.max_run_seconds),
            )
        except (NoPortError, WorkspaceError, OSError) as error:
            self._log.error("attempt not opened", why=str(error))
            raise NotReadyError("This node cannot open an attempt now: its log says why.") from error
        self._step(Step.JOIN, attempt=fence.attempt)
        self._attempt = attempt
        if old is not None:
            await self._stop(old, Outcome.RETRY)

    async def _compute(self, attempt: Attempt, seat: Seat) -> None:
        try:
            await self._compute_or_raise(attempt, seat)
        except EngineError as error:
            self._log.warning("engine failed", why=error.sentence, detail=error.detail)
            if error.reason is FailureReason.ENGINE_ERROR:
                await asyncio.sleep(self._context.hearsay_seconds)
            if error.reason is FailureReason.ENGINE_ERROR and not attempt.linked:
                self._spawn(self.give_up(seat.fence, error.sentence))
            else:
                self._spawn(self.fail(error.reason, error.sentence))
        except computing.UploadError as error:
            if error.over:
                self._spawn(self.hear_of_failure(str(error)))
            elif not error.superseded:
                self._spawn(self.fail(FailureReason.ENGINE_ERROR, str(error)))
        except OrderRefusedError as error:
            self._spawn(self.fail(error.reason, error.sentence))
        except Exception as error:
            self._log.exception("attempt failed", error=type(error).__name__)
            self._spawn(self.fail(FailureReason.ENGINE_ERROR, INTERNAL_ERROR))

    async def _compute_or_raise(self, attempt: Attempt, seat: Seat) -> None:
        terms, workspace = self._equipment()
        note = self._note(attempt)
        if terms.dataset is None:
            plaintext = await computing.train(self._context, seat, terms.spec, attempt.directory, note)
        else:
            plaintext = await computing.share(
                self._context, seat, terms.spec, terms.dataset, attempt.directory, self.peers, note
            )
        rank = computing.rank_of(seat)
        await asyncio.to_thread(
            computing.keep_result, workspace, seat, terms.description.result_key, rank, plaintext
        )
        self._step(Step.RESULT)
        attempt.end(Outcome.OVER)
        self._spawn(self._deliver())

    def _note(self, attempt: Attempt) -> Callable[[Progress], None]:
        def note(progress: Progress) -> None:
            attempt.note(progress)
            if (told := described(progress)) is not None:
                self._progress.tell(attempt.fence, *told)

        return note

    async def _deliver(self) -> None:
        await self._drop_attempt()
        _, workspace = self._equipment()
        fence = self.fence
        self._progress.tell(fence, "deliver", 0.0)
        sealed = await asyncio.to_thread(workspace.read, computing.result_name(fence.generation))
        rank = self.order.mpcs.index(self._context.account) if self._is_mpc else CONSTANTS_RANK
        stored = await deliver(self._context, self.order, fence.generation, rank, sealed)
        if stored:
            self._progress.tell(fence, "deliver", 1.0)
        if self.state is State.DELIVERING and fence == self.fence:
            self._step(Step.DELIVERED)

    async def _retry(self) -> None:
        self._step(Step.RETRY)
        await self._drop_attempt(Outcome.RETRY)

    async def _fail(self, reason: FailureReason, sentence: str, wait_seconds: float = 0.0) -> bool:
        """Step to FAILED; False when the session had ended before."""
        try:
            self._step(Step.FAIL, reason=int(reason), sentence=sentence)
        except IllegalStepError:
            return False
        self._spawn(self._report(reason, sentence, wait_seconds))
        await self._drop_attempt()
        return True

    async def _report(self, reason: FailureReason, sentence: str, wait_seconds: float = 0.0) -> None:
        """Tell the coordinator. Who only heard of a failure gives its source the time to tell first."""
        await asyncio.sleep(wait_seconds)
        generation = self.fence.generation
        await report_failure(self._context, self.order.query_id, generation, reason, sentence)

    async def _tell_peers(self, fence: Fence, reason: int, sentence: str) -> None:
        peers = self.peers
        await asyncio.gather(*(_abort(peers, peer, fence, reason, sentence) for peer in peers.accounts))

    async def _drop_attempt(self, outcome: Outcome = Outcome.OVER) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            await self._stop(attempt, outcome)

    async def _stop(self, attempt: Attempt, outcome: Outcome) -> None:
        """Stop an attempt to the end, also when who asked for it is cancelled."""
        stopping = asyncio.create_task(attempt.stop(outcome))
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)
        await asyncio.shield(stopping)

    # The state.

    @property
    def _is_mpc(self) -> bool:
        return self._context.account in self.order.mpcs

    def _equipment(self) -> tuple[Terms, Workspace]:
        if self._terms is None or self._workspace is None:
            raise NotReadyError("This node is still examining the order.")
        return self._terms, self._workspace

    def _require_live(self) -> None:
        if self.state in (State.FAILED, State.CLEANED) or self._cleanup_ordered:
            raise SessionOverError(f"The query has ended at this node. {self._record.sentence}".strip())
        if self._is_mpc and self.state in (State.DELIVERING, State.DONE):
            raise SessionOverError("This node has computed its result already.")

    def _require_open(self, fence: Fence) -> Attempt:
        self._require_live()
        if self._attempt is None or self._attempt.fence != fence or fence != self.fence:
            raise StaleFenceError(f"Attempt {fence.attempt} is not open at this node.")
        return self._attempt

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

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._log.exception("session task failed", error=type(error).__name__)
            await self.fail(FailureReason.ENGINE_ERROR, INTERNAL_ERROR)


async def _abort(peers: Peers, peer: Account, fence: Fence, reason: int, sentence: str) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError, PeerRefusalError):
        await peers.abort(peer, fence, reason, sentence)
