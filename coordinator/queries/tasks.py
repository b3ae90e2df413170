"""The reconciler: looks at each query that is due, lets `decide` say what follows, and does it in one transaction."""

import asyncio

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.chain import outbox
from coordinator.context import Context
from coordinator.database_errors import DatabaseAway
from coordinator.models.queries import Offer, OfferState, Query
from coordinator.queries import offers, proposals, replacements, repository
from coordinator.queries.absence import note_look
from coordinator.queries.facts import Situation, conduct_of, situation_of
from coordinator.queries.lapses import lapse
from coordinator.queries.orders import opening_of
from coordinator.queries.quarantine import note_failed_step
from coordinator.queries.seeds import Outlook, outlook
from coordinator.resources import service as resources
from coordinator.wakeups import Topic
from soterone.chain.calls import NOBODY, Call, CallBuilder
from soterone.chain.openings import result_hash
from soterone.domain.ids import QueryId, hash32, hash_bytes
from soterone.domain.lifecycle import (
    Action,
    AnnounceCleanup,
    AnnounceCompletion,
    AnnounceFailure,
    Announcement,
    DrawSuccessor,
    Expire,
    FreeReservations,
    Lapse,
    MoveTo,
    QueryFacts,
    RecordLoss,
    RepeatReplacement,
    Settle,
    Stage,
    WithdrawLoss,
    decide,
    next_due,
    observations,
)

_log = structlog.get_logger()
_AT_ONCE = 50
_REFUSED_SECONDS = 30.0
_FRESH_COMPLAINT_SECONDS = 30.0
_SWEEP_SECONDS = 30.0
_OFFER_MEMORY_SECONDS = 3600.0
_BLOB_GRACE_SECONDS = 3600.0


class Reconciler:
    """Any number may run; each due query is locked by one of them (SQLite: one at a time anyway)."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._calls = CallBuilder(context.chain.contracts.addresses)
        self._swept_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Reconcile until `stop`: at every wake-up, and when the next query is due."""
        with self._context.wakeups.listen(Topic.QUERIES, Topic.CHAIN) as bell:
            while not stop.is_set():
                await bell.wait(await self._guarded_cycle())

    async def _guarded_cycle(self) -> float:
        try:
            for sentence in await self.cycle():
                _log.info("reconciled", sentence=sentence)
            await self._sweep()
            return await self._pause()
        except Exception:
            _log.exception("reconciler_failed")
            return self._context.limits.reconcile_seconds

    async def cycle(self) -> list[str]:
        """Handle every query that is due now, once; one sentence for each about which something was done."""
        async with self._context.database.reading() as session:
            now = await repository.now(session)
            due = await session.scalars(
                select(col(Query.id))
                .where(col(Query.due_at) <= now)
                .order_by(col(Query.due_at))
                .limit(_AT_ONCE)
            )
            identifiers = list(due)
        sentences = [await self._guarded(identifier) for identifier in identifiers]
        return [sentence for sentence in sentences if sentence]

    async def _guarded(self, query_id: str) -> str:
        try:
            return await self._reconcile(query_id)
        except DatabaseAway:
            raise
        except Exception:
            _log.exception("query_not_reconciled", query_id=query_id)
            await note_failed_step(self._context, query_id)
            return ""

    async def _reconcile(self, query_id: str) -> str:
        seen = await outlook(self._context, query_id)
        async with self._context.database.transaction() as session:
            query = await session.get(
                Query, query_id, with_for_update={"skip_locked": True, "key_share": True}
            )
            if query is None:
                return ""
            now = await repository.now(session)
            if query.due_at is None or query.due_at > now:
                return ""
            await note_look(session, query, now, self._context.limits)
            await replacements.renew(session, query, seen, self._context.settings.confirmations)
            situation = await situation_of(
                session, query, self._context.limits.final_depth_blocks, seeded=_is_seeded(seen)
            )
            actions = decide(situation.facts, now)
            said = [words for one in actions if (words := await self._act(session, situation, one, seen))]
            if await session.get(Query, query_id) is not None:
                query.failed_steps = 0
                query.due_at = now if said else self._next_look(situation.facts, now)
        if said:
            self._context.wakeups.notify(Topic.OUTBOX, Topic.OFFERS, Topic.QUERIES)
        return f"query {query_id}: {', '.join(said)}" if said else ""

    def _next_look(self, facts: QueryFacts, now: float) -> float | None:
        soon = now + self._context.limits.reconcile_seconds
        if _is_urgent(facts, now):
            return now + self._context.limits.suspicion_look_seconds
        if facts.ended_on_chain:
            over = facts.cleaned_on_chain and Announcement.SETTLE in facts.announced
            return None if over else soon
        if facts.stage.terminal:
            return None
        return soon if facts.dispatched_at is not None else max(next_due(facts) or soon, soon)

    async def _act(
        self, session: AsyncSession, situation: Situation, action: Action, seen: Outlook | None
    ) -> str:
        query = situation.query
        match action:
            case Lapse(sentence):
                return await self._lapse(session, situation, sentence)
            case MoveTo(stage):
                query.status = stage
                await repository.add_event(session, query.id, stage)
                return f"is {stage} now"
            case AnnounceCompletion():
                return await self._complete(session, situation)
            case AnnounceFailure():
                return await self._fail(session, situation, action)
            case Expire():
                call = self._calls.expire(QueryId(query.id), opening_of(query, situation.participants))
                return await self._send(session, query, Announcement.EXPIRE, query.generation, call)
            case RecordLoss(loss):
                depth = self._context.settings.confirmations
                return await replacements.record(session, situation, loss, seen, depth)
            case WithdrawLoss():
                return await replacements.withdraw(session, situation)
            case DrawSuccessor():
                seed = None if seen is None else seen.seed
                return "" if seed is None else await replacements.draw(session, situation, seed, self._calls)
            case RepeatReplacement():
                return await replacements.repeat(session, situation, _REFUSED_SECONDS)
            case AnnounceCleanup():
                call = self._calls.cleanup(QueryId(query.id))
                return await self._send(session, query, Announcement.CLEANUP, 0, call)
            case Settle():
                opening = opening_of(query, situation.participants)
                percents = observations(conduct_of(situation))
                call = self._calls.settle(QueryId(query.id), opening, percents)
                return await self._send(session, query, Announcement.SETTLE, 0, call)
            case FreeReservations():
                await resources.release(session, query.id)
                await offers.drop(session, query.id)
                return "freed its nodes"

    async def _lapse(self, session: AsyncSession, situation: Situation, sentence: str) -> str:
        if situation.facts.stage is Stage.PROPOSED:
            await proposals.forget(session, situation.query.id)
            return "was forgotten, as its nodes never answered"
        refused = situation.facts.dispatch_refused is not None
        await lapse(session, situation.query, Stage.FAILED if refused else Stage.CANCELLED, sentence)
        return f"lapsed: {sentence}"

    async def _complete(self, session: AsyncSession, situation: Situation) -> str:
        query = situation.query
        hashes = [hash_bytes(one) if one else None for one in situation.share_hashes()]
        opening = opening_of(query, situation.participants)
        call = self._calls.complete(QueryId(query.id), opening, hashes)
        said = await self._send(session, query, Announcement.COMPLETE, query.generation, call)
        if said:
            query.announced_hash = hash32(result_hash(hashes))
        return said

    async def _fail(self, session: AsyncSession, situation: Situation, failure: AnnounceFailure) -> str:
        query = situation.query
        opening = opening_of(query, situation.participants)
        call = self._calls.fail(QueryId(query.id), opening, failure.reason, failure.node or NOBODY)
        said = await self._send(session, query, Announcement.FAIL, query.generation, call)
        if not said:
            return ""
        query.announced_reason, query.failure_sentence = int(failure.reason), failure.sentence
        data = {"reason": int(failure.reason), "sentence": failure.sentence, "node": failure.node}
        await repository.add_event(session, query.id, "failing", data)
        return f"{said} ({failure.reason.name}: {failure.sentence})"

    async def _send(
        self, session: AsyncSession, query: Query, action: str, generation: int, call: Call
    ) -> str:
        name = outbox.key(query.id, action, generation)
        written = await outbox.enqueue_anew(session, name, call, _REFUSED_SECONDS)
        return f"sends {action}" if written else ""

    async def _pause(self) -> float:
        async with self._context.database.reading() as session:
            now = await repository.now(session)
            due = await session.scalar(select(func.min(Query.due_at)))
        longest = self._context.limits.reconcile_seconds
        return longest if due is None else min(longest, max(0.0, due - now))

    async def _sweep(self) -> None:
        """Now and then: free lapsed reservations, forget old offers, count, and drop bytes that no row names."""
        started = asyncio.get_running_loop().time()
        if started - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = started
        async with self._context.database.transaction() as session:
            await resources.delete_expired(session)
            old = await repository.now(session) - _OFFER_MEMORY_SECONDS
            over = col(Offer.state).in_((OfferState.DROPPED, OfferState.RELEASED, OfferState.REFUSED))
            await session.execute(delete(Offer).where(over, col(Offer.asked_at) < old))
        async with self._context.database.reading() as session:
            named = await repository.share_hashes(session)
            counts = await repository.counts_by_status(session)
        await self._context.results.keep_only(named, _BLOB_GRACE_SECONDS)
        for stage in Stage:
            self._context.metrics.queries.labels(stage).set(counts.get(stage, 0))


def _is_seeded(seen: Outlook | None) -> bool:
    return seen is not None and seen.seed is not None


def _is_urgent(facts: QueryFacts, now: float) -> bool:
    """Whether a lost node is about to be replaced."""
    if facts.ended_on_chain or facts.stage.terminal:
        return False
    if facts.replacement is not None and not facts.replacement.seeded:
        return True
    return any(now < one.at + _FRESH_COMPLAINT_SECONDS for one in facts.complaints)
