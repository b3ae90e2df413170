"""One attempt's work at this node: compute, keep checkpoints and the result, deliver; and what an error means."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from node_agent.cancellation import all_of
from node_agent.engines.base import EngineError, Progress
from node_agent.sessions import checkpoints, computing
from node_agent.sessions.attempt import Attempt
from node_agent.sessions.checkpoints import Checkpoint
from node_agent.sessions.delivery import CONSTANTS_RANK, deliver
from node_agent.sessions.kept_session import ATTEMPT_ONLY, INTERNAL_ERROR, KeptSession
from node_agent.sessions.order import OrderRefusedError
from node_agent.sessions.plan import Seat, checkpoint_files
from node_agent.sessions.progress import described
from node_agent.sessions.states import UNLINKED_TRIES, Fence, IllegalStepError, State, Step
from soterone.domain.failures import FailureReason

Announced = asyncio.Queue[Progress | None]
"""Epochs with a checkpoint that waits to be kept."""


class Computation(KeptSession):
    """A session that computes. An error of the engine, or of a peer, ends the attempt and never the query."""

    async def give_up(self, fence: Fence, sentence: str) -> None:
        """End the attempt for everybody, but not the query."""
        if self._attempt is not None and self._attempt.fence == fence:
            await self._retry(sentence)
            self._spawn(self._tell_peers(fence, ATTEMPT_ONLY, sentence))

    async def _retry(self, why: str) -> None:
        with contextlib.suppress(IllegalStepError):
            self._step(Step.RETRY)
        await self._drop_attempt(again=True, why=why)

    async def _compute(self, attempt: Attempt, seat: Seat) -> None:
        try:
            await self._compute_or_raise(attempt, seat)
        except EngineError as error:
            self._log.warning("engine failed", why=error.sentence, detail=error.detail)
            await self._engine_failed(attempt, error)
        except computing.UploadError as error:
            if error.over:
                self._spawn(self.hear_of_failure(str(error)))
            elif not error.superseded:
                self._spawn(self.give_up(seat.fence, str(error)))
        except OrderRefusedError as error:
            self._spawn(self.fail(error.reason, error.sentence))
        except Exception as error:
            self._log.exception("attempt failed", error=type(error).__name__)
            self._spawn(self.give_up(seat.fence, INTERNAL_ERROR))

    async def _engine_failed(self, attempt: Attempt, error: EngineError) -> None:
        """An engine that lost a peer is no reason to end the query; what a party says of the data is."""
        if error.mismatch and self._workspace is not None:
            await asyncio.to_thread(checkpoints.drop, self._workspace)
        self._count_unlinked(error.unlinked)
        if error.reason is FailureReason.ENGINE_ERROR:
            # The peer that was lost may have ended for a better reason, and tells it now.
            await asyncio.sleep(self._context.hearsay_seconds)
            self._spawn(self.give_up(attempt.fence, error.sentence))
        elif error.heard:
            self._spawn(self.hear_of_failure(error.sentence, error.reason))
        else:
            self._spawn(self.fail(error.reason, error.sentence))

    def _count_unlinked(self, ranks: tuple[int, ...]) -> None:
        """Complain of an MPC node with which this one's engine could not link, though it tried again."""
        for peer in [self.order.mpcs[rank] for rank in ranks if self._is_mpc and rank < len(self.order.mpcs)]:
            self._unlinked[peer] = self._unlinked.get(peer, 0) + 1
            if self._unlinked[peer] >= UNLINKED_TRIES:
                self.report_loss(peer, True)

    async def _compute_or_raise(self, attempt: Attempt, seat: Seat) -> None:
        terms, workspace = self._equipment()
        plaintext = await (
            self._train(attempt, seat) if terms.dataset is None else self._share(attempt, seat)
        )
        rank = computing.rank_of(seat)
        await asyncio.to_thread(
            computing.keep_result, workspace, seat, terms.description.result_key, rank, plaintext
        )
        self._step(Step.RESULT)
        attempt.end()
        self._spawn(self._deliver())

    async def _share(self, attempt: Attempt, seat: Seat) -> bytes:
        terms, _ = self._equipment()
        if terms.dataset is None:
            raise RuntimeError("an MPC node has nothing to share")
        note = self._note(attempt)
        return await computing.share(
            self._context, seat, terms.spec, terms.dataset, attempt.directory, self.peers, note
        )

    async def _train(self, attempt: Attempt, seat: Seat) -> bytes:
        """Train; checkpoints are kept meanwhile, and lent when this node is one of two that still have theirs."""
        terms, _ = self._equipment()
        resume, directory = attempt.resume, attempt.directory
        announced: Announced = asyncio.Queue()
        note = self._note(attempt, announced)
        keeping = asyncio.create_task(self._keep_checkpoints(attempt.fence, announced))
        training = computing.train(self._context, seat, terms.spec, directory, resume, note)
        work: tuple[Coroutine[Any, Any, bytes | None], ...] = (
            training,
            self._supply_checkpoint(attempt, seat),
        )
        try:
            return (await all_of(work))[0] or b""
        finally:
            announced.put_nowait(None)
            await keeping

    async def _supply_checkpoint(self, attempt: Attempt, seat: Seat) -> None:
        """Give this node's engine its own checkpoint, or everybody's engine a part of it; nothing at a beginning."""
        (_, workspace), resume = self._equipment(), attempt.resume
        if resume is None:
            return
        if not resume.lenders:
            (own,) = checkpoint_files(attempt.directory, resume)
            await asyncio.to_thread(workspace.expose, resume.checkpoint.name, own)
        elif self._context.account in resume.lenders:
            await computing.lend(self._context, seat, resume, workspace, attempt.directory, self.peers)

    async def _keep_checkpoints(self, fence: Fence, announced: "Announced") -> None:
        """Keep what is announced, in order, until None is."""
        _, workspace = self._equipment()
        while (progress := await announced.get()) is not None:
            checkpoint, file = Checkpoint(progress.done, fence), Path(progress.checkpoint_file or "")
            try:
                await asyncio.to_thread(checkpoints.keep, workspace, checkpoint, file)
            except Exception as error:
                self._log.warning("checkpoint not kept", epoch=progress.done, error=type(error).__name__)

    def _note(self, attempt: Attempt, announced: "Announced | None" = None) -> Callable[[Progress], None]:
        def note(progress: Progress) -> None:
            attempt.note(progress)
            if announced is not None and progress.checkpoint_file is not None:
                announced.put_nowait(progress)
            if (told := described(progress)) is not None:
                self._progress.tell(attempt.fence, *told)

        return note

    async def _deliver(self) -> None:
        await self._drop_attempt()
        _, workspace = self._equipment()
        fence = self.fence
        self._tell_delivery(0.0)
        sealed = await asyncio.to_thread(workspace.read, computing.result_name(fence.generation))
        rank = self.order.mpcs.index(self._context.account) if self._is_mpc else CONSTANTS_RANK
        stored = await deliver(self._context, self.order, fence.generation, rank, sealed)
        if stored:
            self._tell_delivery(1.0)
        if self.state is State.DELIVERING and fence == self.fence:
            self._step(Step.DELIVERED)

    def _tell_delivery(self, fraction: float) -> None:
        """Only an MPC node's result ends the training: an owner's constants are delivered while it runs."""
        if self._is_mpc:
            self._progress.tell(self.fence, "deliver", fraction)
