"""One query at this node, from the order on chain over attempts and delivery to the signed cleanup."""

import asyncio
import contextlib
from dataclasses import replace

from node_agent.peers.client import Peers
from node_agent.sessions.kept_session import ATTEMPT_ONLY
from node_agent.sessions.leader import lead
from node_agent.sessions.order import OrderRefusedError
from node_agent.sessions.reports import acknowledge_cleanup
from node_agent.sessions.rounds import Rounds
from node_agent.sessions.states import COMPUTING, ENDED, LIVE, State, Step
from node_agent.sessions.terms import Terms, agree
from soterone.domain.failures import FailureReason

ENDED_ON_CHAIN = 3
"""From this QueryLedger status on a query has failed or is cleaned up; 2 is completed."""


class Session(Rounds):
    """A query that stands on chain. `live` runs until nothing of it is left here."""

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
