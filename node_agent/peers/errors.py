"""What a peer service refuses, each with the gRPC status that says whether another try can help."""

from typing import ClassVar

import grpc


class PeerRefusalError(Exception):
    """A call between agents was refused; the text is one sentence for the caller's log."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.FAILED_PRECONDITION


class NotReadyError(PeerRefusalError):
    """The order has not been seen here yet: try again."""

    code = grpc.StatusCode.UNAVAILABLE


class UnknownQueryError(PeerRefusalError):
    """This node has nothing of the query: it may be behind the chain, or have cleaned up."""

    code = grpc.StatusCode.NOT_FOUND


class NotAllowedError(PeerRefusalError):
    """The caller is not a participant, or has not the role for this call."""

    code = grpc.StatusCode.PERMISSION_DENIED


class StaleFenceError(PeerRefusalError):
    """The call belongs to another generation or attempt than the one that is open here."""

    code = grpc.StatusCode.ABORTED


class MalformedError(PeerRefusalError):
    """The call cannot mean anything."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class TooLargeError(PeerRefusalError):
    """More bytes than announced or allowed."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class ExhaustedError(PeerRefusalError):
    """The caller has had what it may have for now."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class SessionOverError(PeerRefusalError):
    """The query has ended at this node."""
