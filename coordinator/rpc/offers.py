"""Brings offers and releases from the database to the agents whose streams this process holds."""

import asyncio

import structlog

from coordinator.context import Context
from coordinator.queries import service as queries
from coordinator.queries.schemas import PendingOffer, PendingRelease
from coordinator.rpc import wire
from coordinator.rpc.streams import Streams
from coordinator.wakeups import Topic
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.rpc.generated import coordinator_pb2 as pb

_log = structlog.get_logger()


class OfferPusher:
    """One loop a process. An offer is pushed once a stream; a new stream gets the open ones again."""

    def __init__(self, context: Context, streams: Streams) -> None:
        self._context = context
        self._streams = streams

    async def run(self, stop: asyncio.Event) -> None:
        """Look at each wake-up and every `offer_poll_seconds` until stopped."""
        with self._context.wakeups.listen(Topic.OFFERS) as bell:
            while not stop.is_set():
                try:
                    await self.look()
                except Exception:
                    _log.exception("offers_failed")
                    await asyncio.sleep(self._context.settings.offer_poll_seconds)
                await bell.wait(self._context.settings.offer_poll_seconds)

    async def look(self) -> None:
        """Push what is new to the agents that are connected here."""
        if not len(self._streams):
            return
        async with self._context.database.reading() as session:
            news = await queries.news(session)
            asked = {(one.node, one.query_id) for one in news if not one.released}
            untold = {node for node, name in asked if self._untold(node, name)}
            released = {one.node for one in news if one.released and self._streams.of(one.node)}
            offers = await queries.pending_offers(session, untold) if untold else []
            releases = await queries.pending_releases(session, released) if released else []
        self._forget_all_but(asked)
        for offer in offers:
            self._offer(offer)
        await self._release(releases)

    def _untold(self, node: Account, name: QueryId) -> bool:
        stream = self._streams.of(node)
        return stream is not None and name not in stream.told

    def _forget_all_but(self, asked: set[tuple[Account, QueryId]]) -> None:
        for stream in self._streams:
            if stream.told:
                stream.told = {name for name in stream.told if (stream.account, name) in asked}

    def _offer(self, offer: PendingOffer) -> None:
        stream, name = self._streams.of(offer.node), offer.session.query_id
        if stream is None or name in stream.told or not stream.has_room:
            return
        description = wire.description_of(offer.session)
        message = pb.Offer(session=description, expires_in_seconds=offer.expires_in_seconds)
        stream.push(pb.CoordinatorMessage(offer=message))
        stream.told.add(name)

    async def _release(self, releases: list[PendingRelease]) -> None:
        told = []
        for release in releases:
            stream = self._streams.of(release.node)
            if stream is None or not stream.has_room:
                continue
            message = pb.OfferRelease(query_id=hash_bytes(release.query_id))
            stream.push(pb.CoordinatorMessage(release=message))
            stream.told.discard(release.query_id)
            told.append(release)
        if told:
            async with self._context.database.transaction() as session:
                await queries.mark_released(session, told)
