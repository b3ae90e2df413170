"""One query at this node, from the order on chain over generations and delivery to the signed cleanup."""

import asyncio
import contextlib
from dataclasses import replace

from node_agent.peers.client import Peers
from node_agent.sessions.computing import result_name
from node_agent.sessions.kept_session import ATTEMPT_ONLY
from node_agent.sessions.leader import lead
from node_agent.sessions.losses import Losses, watch
from node_agent.sessions.order import Order, OrderRefusedError
from node_agent.sessions.reports import acknowledge_cleanup
from node_agent.sessions.rounds import Rounds
from node_agent.sessions.states import COMPUTING, ENDED, LIVE, State, Step
from node_agent.sessions.terms import Terms, agree
from soterone.chain.events import MPCUpdated
from soterone.chain.records import QueryStatus
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account

IDLE_PATIENCES = 3
"""So many times the patience for a peer to join a leader may take to open an attempt."""


class Session(Rounds):
    """A query that stands on chain. `live` runs until nothing of it is left here."""

    async def live(self) -> None:
        """Run the query's part of this node to its end. Cancelling stops the work and leaves the state stored."""
        try:
            while True:
                self._replaced = False
                self._spawn(self._progress.run())
                self._spawn(self._begin())
                await self._until_cleanup()
                await self._stop_work()
                if self._cleanup_ordered or not self._replaced:
                    break
            await self._clean_up()
        finally:
            await self._stop_work()

    def completed(self) -> None:
        """The chain says that the query has its result: further work is in vain."""
        self._complete = True
        if self.state in LIVE:
            self._step(Step.COMPLETE)
            self._spawn(self._drop_attempt())

    def order_cleanup(self) -> None:
        """The chain says that the query failed, or that everybody cleans up."""
        self._cleanup_ordered = True
        self._changed.set()

    def replaced(self, event: MPCUpdated) -> None:
        """The chain says that a node took another's place: all work of the generation before is void, from now on.

        Idempotent: what does not lead beyond this generation changes nothing. The lost node itself cleans up.
        """
        if event.generation <= self.fence.generation or self.state is State.CLEANED:
            return
        if event.old_mpc == self._context.account:
            self._log.warning("this node was replaced", successor=event.new_mpc)
            self._leave(self.order.replaced(event))
        else:
            self._enter(self.order.replaced(event))

    def _leave(self, order: Order) -> None:
        """Clean up, also when this node is killed before it has: the store knows that it takes no part any more."""
        self._record = replace(self._record, order=order.to_json(), generation=order.generation)
        self._context.store.save_session(self._record)
        self.order_cleanup()

    def _enter(self, order: Order) -> None:
        """Begin a generation: durable on return, and whatever runs for the one before is cancelled already."""
        for task in self._tasks:
            task.cancel()
        if self._attempt is not None:
            self._attempt.cancel()
        self.order, self._peers, self._terms, self._unlinked = order, None, None, {}
        self._losses = Losses(self._context, order.query_id, order.generation)
        self._step(
            Step.REPLACE, order=order.to_json(), generation=order.generation, attempt=0, reason=0, sentence=""
        )
        self._replaced = True

    async def _begin(self) -> None:
        first = self.state is State.OFFERED
        replaced = self._context.account not in self.order.participants
        if self.state is State.CLEANED or replaced or await self._over_on_chain():
            return self.order_cleanup()
        if self.state is State.FAILED:
            return self._spawn(self._report(FailureReason(self._record.reason), self._record.sentence))
        if self.state is State.DONE and (self._is_mpc or self._complete):
            return None
        try:
            terms = await agree(self._context, self.order, self._record.description, first=first)
        except OrderRefusedError as refusal:
            return await self.fail(refusal.reason, refusal.sentence)
        await self._adopt(terms)
        await (self._take_order() if first else self._resume())
        self._spawn(self._watch())
        if self.leader != self._context.account:
            self._spawn(self._expect_attempts())
        elif self.state is State.ORDERED:
            self._spawn(lead(self, self._context.limits.join_patience_seconds))
        return None

    async def _expect_attempts(self) -> None:
        """Complain of a leader that answers but opens no attempt: it has lost its way, or has finished alone."""
        while True:
            known = self.fence
            await asyncio.sleep(IDLE_PATIENCES * self._context.limits.join_patience_seconds)
            if self.state is State.ORDERED and self.fence == known:
                self.report_loss(self.leader, True)

    async def _adopt(self, terms: Terms) -> None:
        if self._workspace is None:
            self._workspace = await asyncio.to_thread(self._context.workspaces.open, self.order.query_id)
        for generation in range(self.fence.generation):
            await asyncio.to_thread(self._workspace.remove, result_name(generation))
        self._terms = terms
        self._record = replace(self._record, description=terms.description.SerializeToString())
        self._peers = Peers(self.order.query_id, self._context.tls, terms.peers)
        self._open_peers.append(self._peers)
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
            self._spawn(self._tell_peers(self.fence, ATTEMPT_ONLY, "A node was restarted."))

    async def _watch(self) -> None:
        """Tell of MPC nodes that keep silent, for as long as this node needs them."""
        others = [mpc for mpc in self.order.mpcs if mpc != self._context.account]
        patience = self._context.limits.join_patience_seconds
        heard = self._losses.heard
        await watch(self.peers, others, patience, self._silent, heard, self._context.clock)

    def _silent(self, lost: Account, unlinked: bool) -> None:
        needed = self.state in COMPUTING or (not self._is_mpc and self.state is not State.FAILED)
        if needed and not self._complete:
            self.report_loss(lost, unlinked)

    async def _over_on_chain(self) -> bool:
        for wait in self._context.backoff.waits():
            try:
                found = await self._context.chain.status_of(self.order.query_id)
            except Exception as error:
                self._log.warning("chain away", why=type(error).__name__)
                await asyncio.sleep(wait)
            else:
                if found.status is QueryStatus.COMPLETED:
                    self.completed()
                return found.status >= QueryStatus.FAILED
        raise AssertionError("waits never end")

    async def _until_cleanup(self) -> None:
        """Return when the query's work at this node is over, or begins anew in another generation."""
        while not self._cleanup_ordered and not self._replaced:
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
        for peers in self._open_peers:
            await peers.close()
        self._open_peers.clear()
