"""Brings offers and releases from the database to the agents whose streams this process holds."""

import asyncio

import structlog

from coordinator.context import Context
from coordinator.nodes import repository as nodes
from coordinator.nodes.errors import NotActive
from coordinator.queries import service as queries
from coordinator.queries.schemas import PendingOffer, PendingRelease
from coordinator.rpc import wire
from coordinator.rpc.streams import Streams
from coordinator.wakeups import Topic
from soterone.domain.ids import hash_bytes
from soterone.rpc.generated import coordinator_pb2 as pb

_log = structlog.get_logger()


class OfferPusher:
    """One loop a process. An offer is pushed once a stream; a new stream gets the open ones again."""

    def __init__(self, context: Context, streams: Streams) -> None:
        self._context = context
        self._streams = streams

    async def run(self, stop: asyncio.Event) -> None:
        """Look at each wake-up and every `offer_poll_seconds` until stopped."""
        with self._context.wakeups.listen(Topic.OFFERS, Topic.NODES) as bell:
            while not stop.is_set():
                try:
                    await self.look()
                except Exception:
                    _log.exception("offers_failed")
                    await asyncio.sleep(self._context.settings.offer_poll_seconds)
                await bell.wait(self._context.settings.offer_poll_seconds)

    async def look(self) -> None:
        """Push what is new, and end the streams of nodes that may not take part any more."""
        accounts = self._streams.accounts()
        if not accounts:
            return
        async with self._context.database.reading() as session:
            inactive = await nodes.inactive_among(session, accounts)
            offers = await queries.pending_offers(session, accounts)
            releases = await queries.pending_releases(session, accounts)
        for account in accounts:
            stream = self._streams.of(account)
            if stream is not None and account in inactive:
                stream.end(NotActive(account, "not active any more"))
        open_offers = {(offer.node, offer.session.query_id) for offer in offers}
        for stream in self._streams:
            stream.told = {name for name in stream.told if (stream.account, name) in open_offers}
        for offer in offers:
            self._offer(offer)
        await self._release(releases)

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
