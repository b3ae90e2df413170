"""The attempts of one query: what the leader and the other participants ask of this node.

Who may call was decided by the peer service; the fence decides what still counts.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from node_agent.peers.errors import (
    MalformedError,
    NotAllowedError,
    NotReadyError,
    SessionOverError,
    StaleFenceError,
    TooLargeError,
)
from node_agent.sessions import checkpoints
from node_agent.sessions.attempt import Attempt, Ended
from node_agent.sessions.checkpoints import Resume
from node_agent.sessions.computation import Computation
from node_agent.sessions.incoming import IncomingFile
from node_agent.sessions.kept_session import ATTEMPT_ONLY
from node_agent.sessions.plan import Seat, checkpoint_files, share_file
from node_agent.sessions.port_range import NoPortError
from node_agent.sessions.roster import RosterError, check_address, check_roster, signed_address
from node_agent.sessions.states import Fence, State, Step
from node_agent.workspace.folder import QuotaError, Workspace, WorkspaceError
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.rpc.generated import peer_pb2

PEER_REASONS = frozenset(
    {
        FailureReason.TOO_FEW_COMMON_ROWS,
        FailureReason.ENGINE_ERROR,
        FailureReason.POLICY_REFUSED,
        FailureReason.TIMED_OUT,
        FailureReason.BAD_DATA,
        FailureReason.QUARANTINED,
    }
)


class Rounds(Computation):
    """The `PeerSession` of one query: its attempts, one at a time, each behind its fence."""

    async def join(self, fence: Fence) -> peer_pb2.JoinReply:
        """Open an attempt, say where this node's engine will listen and which checkpoints it has; idempotent."""
        self._require_live()
        if not self.fence.admits_join(fence):
            raise StaleFenceError(
                f"This node is at attempt {self.fence.attempt} of generation {self.fence.generation}."
            )
        if self._attempt is None or self._attempt.fence != fence:
            if fence == self.fence:
                raise StaleFenceError(f"Attempt {fence.attempt} has already ended at this node.")
            await self._open(fence)
        _, workspace = self._equipment()
        held = await asyncio.to_thread(checkpoints.kept, workspace) if self._is_mpc else []
        if self._attempt is None or self._attempt.fence != fence:
            raise StaleFenceError("The attempt ended while this node joined it.")
        context, engine = self._context, self._attempt.engine
        address = signed_address(context.signer, context.ledger, self.order, fence, engine)
        return peer_pb2.JoinReply(engine=address, checkpoints=[one.to_wire() for one in held])

    async def start(
        self, fence: Fence, engines: list[peer_pb2.EngineAddress], resume: peer_pb2.Resume | None
    ) -> None:
        """Start the open attempt from the beginning or from a checkpoint; idempotent."""
        attempt, (terms, workspace) = self._require_open(fence), self._equipment()
        if self.state is State.RUNNING:
            return
        try:
            roster = check_roster(
                self._context.ledger, self.order, fence, terms.hosts(self._context.account), engines
            )
            attempt.resume = self._checked_resume(resume, workspace)
        except (RosterError, ValueError) as error:
            raise MalformedError(str(error)) from error
        seat = Seat(self._context.account, self.order, fence, attempt.identity.private_key_pem, roster)
        self._step(Step.START)
        attempt.begin(self._compute(attempt, seat))

    @contextlib.contextmanager
    def receive(self, fence: Fence, owner: Account) -> Iterator[IncomingFile]:
        """Take an owner's share for the open attempt; leaving without `commit` drops it."""
        attempt, workspace = self._receiving(fence)
        with self._incoming(workspace, attempt, share_file(attempt.directory, self.order, owner)) as share:
            yield share

    @contextlib.contextmanager
    def receive_checkpoint(self, fence: Fence, lender: Account) -> Iterator[IncomingFile]:
        """Take a lender's part of the checkpoint that the open attempt goes on from; as `receive`."""
        attempt, workspace = self._receiving(fence)
        if self.state is not State.RUNNING:
            raise NotReadyError("This node has not started the attempt yet.")
        if attempt.resume is None or lender not in attempt.resume.lenders:
            raise NotAllowedError("Only the lenders of this attempt deliver checkpoints.")
        place = checkpoint_files(attempt.directory, attempt.resume)[attempt.resume.lenders.index(lender)]
        with self._incoming(workspace, attempt, place) as part:
            yield part

    async def aborted(self, fence: Fence, by: Account, reason: int, sentence: str) -> None:
        """End the attempt (reason 0) or the query, as another participant says."""
        if reason == ATTEMPT_ONLY:
            if self._attempt is not None and fence == self._attempt.fence:
                self._log.info("attempt ended by a peer", peer=by, why=sentence)
                await self._retry(sentence)
            return
        if reason not in PEER_REASONS:
            raise MalformedError("This is no reason for which a participant ends a query.")
        self._log.warning("query ended by a peer", peer=by, reason=reason, why=sentence)
        await self.hear_of_failure(f"The node {by} ended the query: {sentence}", FailureReason(reason))

    async def ended(self, fence: Fence) -> Ended:
        """Wait until an attempt has ended here, and say how."""
        for attempt in (self._attempt, self._previous):
            if attempt is not None and attempt.fence == fence:
                return await asyncio.shield(attempt.ended)
        return Ended(again=self.state is State.ORDERED, why="it ended before it began")

    def is_credible(self, fence: Fence, peer: Account, reply: peer_pb2.JoinReply) -> bool:
        """Say whether a peer answered the leader for itself: everybody will check its address as this node does."""
        hosts = self._equipment()[0].hosts(self._context.account)
        try:
            engine = check_address(self._context.ledger, self.order, fence, hosts, reply.engine)
        except RosterError:
            return False
        return engine.account == peer and len(reply.checkpoints) <= checkpoints.KEPT

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
            self._previous = old
            await self._stop(old, again=True, why="a newer attempt began")

    def _checked_resume(self, wished: peer_pb2.Resume | None, workspace: Workspace) -> Resume | None:
        """Return where to go on; ValueError when this node could not, or the lenders are no two of the trio."""
        if wished is None:
            return None
        resume = Resume.from_wire(wished)
        if not resume.fits(self.order.mpcs):
            raise ValueError("The lenders of a checkpoint are two MPC nodes in the order of their ranks.")
        needed = self._is_mpc and (not resume.lenders or self._context.account in resume.lenders)
        if needed and not workspace.has(resume.checkpoint.name):
            raise ValueError("This node does not have the checkpoint that the attempt is to go on from.")
        return resume

    def _receiving(self, fence: Fence) -> tuple[Attempt, Workspace]:
        attempt = self._require_open(fence)
        if not self._is_mpc or self._workspace is None:
            raise NotAllowedError("This node is a data owner of the query: it takes no shares.")
        return attempt, self._workspace

    @contextlib.contextmanager
    def _incoming(self, workspace: Workspace, attempt: Attempt, place: Path) -> Iterator[IncomingFile]:
        try:
            with IncomingFile.open(workspace, attempt, place) as file:
                yield file
        except QuotaError as error:
            raise TooLargeError(f"This node's quota is spent: {error}.") from error
        except OSError as error:
            self._log.error("upload not stored", why=error.strerror)
            raise TooLargeError("This node has no room left for the upload.") from error

    def _require_live(self) -> None:
        if self.state in (State.FAILED, State.CLEANED) or self._cleanup_ordered:
            raise SessionOverError(f"The query has ended at this node. {self._record.sentence}".strip())
        if self._is_mpc and self.state in (State.DELIVERING, State.DONE):
            raise NotReadyError("This node has computed its result already.")

    def _require_open(self, fence: Fence) -> Attempt:
        self._require_live()
        if self._attempt is None or self._attempt.fence != fence or fence != self.fence:
            raise StaleFenceError(f"Attempt {fence.attempt} is not open at this node.")
        return self._attempt
