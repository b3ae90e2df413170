"""Refusals: one root, a kind for each sort of refusal, and the ONE table from kind to HTTP status and gRPC code.

Each room declares its own errors as dataclasses with typed fields under one of these kinds; the `sentence`
is public and says what to do. Whatever is no `CoordinatorError` is logged whole and answered "internal error".
"""

from dataclasses import dataclass
from typing import Final

import grpc

from soterone.chain.errors import ChainUnreachableError, RevertedError, RpcError


class CoordinatorError(Exception):
    """Root of every refusal."""

    retry_after_seconds: float | None = None

    @property
    def sentence(self) -> str:
        """What is wrong and what to do, for the caller to read."""
        return str(self.args[0]) if self.args else "The request was refused."

    def __str__(self) -> str:
        return self.sentence


class Malformed(CoordinatorError):
    """The request cannot be read or contradicts itself."""


class Unauthenticated(CoordinatorError):
    """Nobody known made the request."""


class Forbidden(CoordinatorError):
    """The caller is known and may not do this."""


class Missing(CoordinatorError):
    """There is no such thing, or it is not the caller's."""


class Conflict(CoordinatorError):
    """The request is fine and the present state of things forbids it."""


class TooLarge(CoordinatorError):
    """More bytes than are taken."""


class TooMany(CoordinatorError):
    """The caller asks too much at once; `retry_after_seconds` says when to come back."""

    retry_after_seconds = 1.0


class Unavailable(CoordinatorError):
    """Something that the coordinator needs is away; trying again later helps."""

    retry_after_seconds = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """How a kind of refusal is told over each interface."""

    status: int
    code: grpc.StatusCode
    title: str


ANSWERS: Final[dict[type[CoordinatorError], Answer]] = {
    Malformed: Answer(422, grpc.StatusCode.INVALID_ARGUMENT, "Malformed request"),
    Unauthenticated: Answer(401, grpc.StatusCode.UNAUTHENTICATED, "Not signed in"),
    Forbidden: Answer(403, grpc.StatusCode.PERMISSION_DENIED, "Not allowed"),
    Missing: Answer(404, grpc.StatusCode.NOT_FOUND, "Not found"),
    Conflict: Answer(409, grpc.StatusCode.FAILED_PRECONDITION, "Not possible now"),
    TooLarge: Answer(413, grpc.StatusCode.RESOURCE_EXHAUSTED, "Too large"),
    TooMany: Answer(429, grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests"),
    Unavailable: Answer(503, grpc.StatusCode.UNAVAILABLE, "Unavailable"),
    CoordinatorError: Answer(500, grpc.StatusCode.INTERNAL, "Internal error"),
}


def answer_to(error: CoordinatorError) -> Answer:
    """Return the row of the table for an error, by its nearest kind."""
    return next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)


def as_refusal(error: Exception) -> CoordinatorError | None:
    """Return the refusal that an exception means for a caller; None when it is a fault of this program."""
    match error:
        case CoordinatorError():
            return error
        case RevertedError():
            return Conflict(f"the contract refuses this: {error.sentence}")
        case ChainUnreachableError() | RpcError():
            return Unavailable("the chain cannot be reached just now; try again in a few seconds")
    return None
