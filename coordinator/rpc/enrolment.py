"""The one service for those who have no certificate yet."""

from typing import Any

import grpc

from coordinator.context import Context
from coordinator.nodes import service
from coordinator.rpc import wire
from soterone.rpc.generated import coordinator_pb2 as pb
from soterone.rpc.generated import coordinator_pb2_grpc


class Enrolment(coordinator_pb2_grpc.EnrolmentServicer):
    """Answers `Register`; the registration's own signatures say who calls."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def Register(
        self, request: pb.RegisterRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RegisterReply:
        """Relay a registration, wait until it is mined, answer the node's certificate."""
        registered = await service.register(self._context, wire.registration_from(request))
        return pb.RegisterReply(
            certificate_pem=registered.certificate_pem,
            ca_pem=registered.ca_pem,
            transaction_hash=registered.transaction_hash,
        )
