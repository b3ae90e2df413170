"""What agents tell about queries and what they are told, parsed: the rpc servicers translate from and to the wire."""

from dataclasses import dataclass

from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, Hash32, QueryId
from soterone.domain.roles import Role


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a participant is; `fraction` of the phase, 0 to 1."""

    query_id: QueryId
    generation: int
    attempt: int
    phase: str
    fraction: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FailureNotice:
    """A participant says that the query cannot go on; `heard`: as another one told it."""

    query_id: QueryId
    generation: int
    reason: FailureReason
    sentence: str
    heard: bool = False


@dataclass(frozen=True, slots=True)
class LossNotice:
    """A participant's signed LossReport; `unlinked`: the two could not compute together, though both may live."""

    query_id: QueryId
    generation: int
    lost: Account
    deadline: int
    signature: bytes
    unlinked: bool


@dataclass(frozen=True, slots=True)
class ShareHeader:
    """What a node claims of the bytes that it delivers."""

    query_id: QueryId
    generation: int
    rank: int
    share_hash: Hash32
    signature: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CleanupNotice:
    """A node's signed promise that nothing of a query is left with it."""

    query_id: QueryId
    deadline: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class OfferAnswer:
    """A node's answer to a reservation; `sentence` says why not.

    `accepted_operators`: whose MPC nodes an owner accepts; empty: anybody's.
    """

    query_id: QueryId
    accepted: bool
    sentence: str = ""
    accepted_operators: tuple[Account, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionMember:
    """A participant as its peers must know it."""

    account: Account
    operator: Account
    role: Role
    endpoint: str
    certificate_pem: str
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """All that a participant needs to judge and run a query; owners first, then MPC nodes by rank."""

    query_id: QueryId
    customer: Account
    spec_json: bytes
    members: tuple[SessionMember, ...]
    result_key: bytes
    generation: int


@dataclass(frozen=True, slots=True)
class OfferNews:
    """That there is an offer to push to a node, or a release."""

    node: Account
    query_id: QueryId
    released: bool


@dataclass(frozen=True, slots=True)
class PendingOffer:
    """An unanswered offer to a node."""

    node: Account
    session: Session
    expires_in_seconds: int


@dataclass(frozen=True, slots=True)
class PendingRelease:
    """A node that was asked must hear that it is not needed."""

    node: Account
    query_id: QueryId
