"""The service of registered nodes. Each handler parses, calls one manager, answers; the guard has authorised."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncSession

from coordinator import judgements
from coordinator.context import Context
from coordinator.datasets import service as datasets
from coordinator.errors import Malformed, TooLarge
from coordinator.nodes import service as nodes
from coordinator.nodes.errors import TakesPart
from coordinator.queries import service as queries
from coordinator.queries.schemas import ShareHeader
from coordinator.quota import Quota
from coordinator.rpc import wire
from coordinator.rpc.guard import calling_node
from coordinator.rpc.heartbeats import HeartbeatWriter
from coordinator.rpc.streams import Streams
from soterone.domain.ids import Account
from soterone.rpc.generated import coordinator_pb2 as pb
from soterone.rpc.generated import coordinator_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]


class Agents(coordinator_pb2_grpc.AgentsServicer):
    """All that an agent says to the coordinator."""

    def __init__(self, context: Context, streams: Streams, heartbeats: HeartbeatWriter) -> None:
        self._context = context
        self._streams = streams
        self._heartbeats = heartbeats
        self._deliveries = Quota(1, "delivery of a node to a query")

    async def Connect(self, request_iterator: AsyncIterator[pb.AgentMessage], context: Call) -> None:  # type: ignore[override]
        """Hold the node's stream: heartbeats and answers up, acknowledgements and offers down.

        The next message is read once the last one is dealt with, so an agent cannot pile up work here.
        """
        with self._streams.open(calling_node(), context.write) as stream:
            while (message := await context.read()) is not grpc.aio.EOF:
                if message.HasField("heartbeat"):
                    await self._heartbeats.keep(wire.beat_from(stream.account, message.heartbeat))
                    await stream.send(_acknowledgement(message.sequence))
                elif message.HasField("offer_answer"):
                    await self._answer(stream.account, message.offer_answer)

    async def _answer(self, node: Account, answer: pb.OfferAnswer) -> None:
        await queries.answer_offer(self._context, node, wire.answer_from(answer))

    async def PublishDataset(
        self, request: pb.PublishDatasetRequest, context: Call
    ) -> pb.PublishDatasetReply:
        """Put masked metadata into the catalog, or change them."""
        metadata = datasets.parse_metadata(request.metadata_json)
        async with self._context.database.transaction() as session:
            dataset = await datasets.publish(session, calling_node(), metadata)
        return pb.PublishDatasetReply(dataset_id=dataset)

    async def WithdrawDataset(self, request: pb.WithdrawDatasetRequest, context: Call) -> pb.Nothing:
        """Take a dataset out of the catalog for good."""
        async with self._context.database.transaction() as session:
            await datasets.withdraw(session, calling_node(), request.dataset_id[:64])
        return pb.Nothing()

    async def GetSession(self, request: pb.SessionRequest, context: Call) -> pb.SessionDescription:
        """Describe a query to one of its participants."""
        query_id = wire.query_from(request.query_id)
        return wire.description_of(await queries.describe_session(self._context, calling_node(), query_id))

    async def ReportProgress(self, request: pb.ProgressReport, context: Call) -> pb.Nothing:
        """Keep how far a participant is."""
        await queries.record_progress(self._context, calling_node(), wire.progress_from(request))
        return pb.Nothing()

    async def ReportFailure(self, request: pb.FailureReport, context: Call) -> pb.Nothing:
        """Keep that a query cannot go on."""
        await queries.record_failure(self._context, calling_node(), wire.failure_from(request))
        return pb.Nothing()

    async def ReportLoss(self, request: pb.LossNotice, context: Call) -> pb.Nothing:
        """Keep that a participant cannot work with an MPC node."""
        await queries.record_loss(self._context, calling_node(), wire.loss_from(request))
        return pb.Nothing()

    async def DeliverResult(
        self, request_iterator: AsyncIterator[pb.ResultChunk], context: Call
    ) -> pb.ResultReceipt:
        """Take a sealed share; its header is checked before its bytes are read."""
        chunks = aiter(request_iterator)
        first = await anext(chunks, None)
        if first is None or not first.HasField("header"):
            raise Malformed("the first chunk of a result must carry its header")
        header = wire.share_header_from(first.header)
        await queries.check_header(self._context, calling_node(), header)
        with self._deliveries.hold((calling_node(), header.query_id)):
            data = await _collect(header, first.data, chunks)
            stored = await queries.store_result(self._context, calling_node(), header, data)
        return pb.ResultReceipt(stored=stored)

    async def AcknowledgeCleanup(self, request: pb.CleanupAcknowledgement, context: Call) -> pb.Nothing:
        """Keep a node's signed promise that nothing of a query is left with it."""
        await queries.record_cleanup(self._context, calling_node(), wire.cleanup_from(request))
        return pb.Nothing()

    async def RelayToQuorum(self, request: pb.QuorumCall, context: Call) -> pb.Nothing:
        """Send a node's call to the detectors' quorum."""
        await judgements.relay(self._context, calling_node(), request.data)
        return pb.Nothing()

    async def Unregister(self, request: pb.UnregisterRequest, context: Call) -> pb.UnregisterReply:
        """Relay a node's wish to leave; refused while it takes part in a query that has not ended."""
        node = calling_node()

        async def check_free(session: AsyncSession) -> None:
            unfinished = await queries.unfinished_of(session, node)
            if unfinished:
                raise TakesPart(unfinished)

        wish = wire.unregistration_from(node, request)
        return pb.UnregisterReply(transaction_hash=await nodes.unregister(self._context, wish, check_free))

    async def DescribeNodes(self, request: pb.NodesRequest, context: Call) -> pb.NodesReply:
        """Tell a detector how active nodes are reached; the chain bears out profile and key."""
        accounts = wire.accounts_from(request.accounts)
        async with self._context.database.reading() as session:
            found = await nodes.active(session, accounts)
            names = [node.account for node in found]
            bound, beats = await datasets.commitments(session, names), await nodes.heartbeats(session, names)
        cards = [wire.card_of(node, bound[node.account], beats.get(node.account)) for node in found]
        return pb.NodesReply(nodes=cards)


def _acknowledgement(sequence: int) -> pb.CoordinatorMessage:
    return pb.CoordinatorMessage(ack=pb.HeartbeatAck(sequence=sequence))


async def _collect(header: ShareHeader, start: bytes, chunks: AsyncIterator[pb.ResultChunk]) -> bytes:
    data = bytearray(start)
    async for chunk in chunks:
        data += chunk.data
        if len(data) > header.size_bytes:
            raise TooLarge(f"the header announced {header.size_bytes} bytes and more came")
    return bytes(data)
