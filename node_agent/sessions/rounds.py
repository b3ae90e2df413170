"""The attempts of one query: what the leader and the other participants ask of this node, and what it computes.

Who may call was decided by the peer service; the fence decides what still counts.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable, Iterator

from node_agent.engines.base import EngineError, Progress
from node_agent.peers.errors import (
    MalformedError,
    NotAllowedError,
    NotReadyError,
    SessionOverError,
    StaleFenceError,
    TooLargeError,
)
from node_agent.sessions import computing
from node_agent.sessions.attempt import Attempt, Outcome
from node_agent.sessions.delivery import CONSTANTS_RANK, deliver
from node_agent.sessions.incoming import IncomingShare
from node_agent.sessions.kept_session import ATTEMPT_ONLY, INTERNAL_ERROR, KeptSession
from node_agent.sessions.order import OrderRefusedError
from node_agent.sessions.plan import Seat
from node_agent.sessions.port_range import NoPortError
from node_agent.sessions.progress import described
from node_agent.sessions.roster import RosterError, check_roster, signed_address
from node_agent.sessions.states import Fence, State, Step
from node_agent.workspace.folder import QuotaError, WorkspaceError
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.rpc.generated.peer_pb2 import EngineAddress

PEER_REASONS = frozenset(
    {
        FailureReason.TOO_FEW_COMMON_ROWS,
        FailureReason.ENGINE_ERROR,
        FailureReason.POLICY_REFUSED,
        FailureReason.TIMED_OUT,
        FailureReason.BAD_DATA,
    }
)


class Rounds(KeptSession):
    """The `PeerSession` of one query: its attempts, one at a time, each behind its fence."""

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
        attempt, (terms, _) = self._require_open(fence), self._equipment()
        if self.state is State.RUNNING:
            return
        try:
            roster = check_roster(
                self._context.ledger, self.order, fence, terms.hosts(self._context.account), engines
            )
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
            elif error.heard:
                self._spawn(self.hear_of_failure(error.sentence, error.reason))
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
