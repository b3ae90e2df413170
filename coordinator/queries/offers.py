"""Offers: what the stream services push to agents, and what agents answer by their policy."""

import json
from collections.abc import Collection, Sequence

from sqlalchemy import and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.context import Context
from coordinator.database import database_now
from coordinator.models.queries import Offer, OfferState
from coordinator.queries import repository
from coordinator.queries.schemas import OfferAnswer, OfferNews, PendingOffer, PendingRelease
from coordinator.queries.sessions import session_of
from coordinator.wakeups import Topic
from soterone.domain.ids import Account, QueryId
from soterone.domain.text import printable

_SENTENCE_LENGTH = 500

RELEASE_SECONDS = 600.0
"""How long after an offer ran out its node is still told that it was taken back."""


async def ask(session: AsyncSession, query_id: str, nodes: Sequence[str], expires_in_seconds: float) -> None:
    """Write one offer a node; the stream that holds the node's agent pushes it."""
    asked_at = await repository.now(session)
    expires_at = asked_at + expires_in_seconds
    session.add_all(
        Offer(query_id=query_id, node=node, state=OfferState.ASKED, asked_at=asked_at, expires_at=expires_at)
        for node in nodes
    )
    await session.flush()


async def states(session: AsyncSession, query_id: str) -> list[Offer]:
    """Return the offers of a query."""
    found = await session.scalars(select(Offer).where(col(Offer.query_id) == query_id))
    return list(found)


async def release(session: AsyncSession, query_id: str) -> None:
    """Take all offers of a query back; the nodes will be told."""
    await session.execute(
        update(Offer)
        .where(col(Offer.query_id) == query_id, col(Offer.state) != OfferState.DROPPED)
        .values(state=OfferState.RELEASED)
    )


async def drop(session: AsyncSession, query_id: str) -> None:
    """Close the offers of a query that has ended: its nodes know it from the chain."""
    await session.execute(
        update(Offer).where(col(Offer.query_id) == query_id).values(state=OfferState.DROPPED)
    )


async def news(session: AsyncSession) -> list[OfferNews]:
    """Return whom the stream services have something to tell: one query over an index, which finds nothing mostly.

    A release that was not told for `RELEASE_SECONDS` is none any more: the agent has let go of the offer by itself.
    """
    found = await session.execute(
        select(col(Offer.node), col(Offer.query_id), col(Offer.state)).where(
            col(Offer.expires_at) > database_now() - RELEASE_SECONDS,
            or_(
                and_(col(Offer.state) == OfferState.ASKED, col(Offer.expires_at) > database_now()),
                col(Offer.state) == OfferState.RELEASED,
            ),
        )
    )
    return [
        OfferNews(Account(node), QueryId(query), state == OfferState.RELEASED) for node, query, state in found
    ]


async def pending_offers(session: AsyncSession, nodes: Collection[Account]) -> list[PendingOffer]:
    """Return the unanswered, unexpired offers to any of the nodes. Repeating it repeats them: agents take an
    offer that they know already as the same."""
    now = await repository.now(session)
    found = await session.scalars(
        select(Offer).where(
            col(Offer.node).in_(nodes), col(Offer.state) == OfferState.ASKED, col(Offer.expires_at) > now
        )
    )
    pending = []
    for offer in found:
        description = await session_of(session, QueryId(offer.query_id))
        if description is not None:
            pending.append(
                PendingOffer(Account(offer.node), description, max(1, int(offer.expires_at - now)))
            )
    return pending


async def pending_releases(session: AsyncSession, nodes: Collection[Account]) -> list[PendingRelease]:
    """Return the releases that the nodes have not been told yet; `mark_released` after telling."""
    found = await session.scalars(
        select(Offer).where(col(Offer.node).in_(nodes), col(Offer.state) == OfferState.RELEASED)
    )
    return [PendingRelease(Account(offer.node), QueryId(offer.query_id)) for offer in found]


async def mark_released(session: AsyncSession, releases: Collection[PendingRelease]) -> None:
    """Note that the nodes were told."""
    for release_ in releases:
        await session.execute(
            update(Offer)
            .where(col(Offer.query_id) == release_.query_id, col(Offer.node) == release_.node)
            .values(state=OfferState.DROPPED)
        )


async def answer_offer(context: Context, node: Account, answer: OfferAnswer) -> None:
    """Record a node's answer to an open offer; a late, repeated or unknown answer changes nothing."""
    state = OfferState.ACCEPTED if answer.accepted else OfferState.REFUSED
    async with context.database.transaction() as session:
        await session.execute(
            update(Offer)
            .where(
                col(Offer.query_id) == answer.query_id,
                col(Offer.node) == node,
                col(Offer.state) == OfferState.ASKED,
            )
            .values(
                state=state,
                sentence=printable(answer.sentence, _SENTENCE_LENGTH),
                accepted_operators_json=json.dumps(answer.accepted_operators),
                answered_at=database_now(),
            )
        )
    context.wakeups.notify(Topic.ANSWERS)
