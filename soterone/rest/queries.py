"""Queries from proposal to feedback, under `/v1/queries`."""

from typing import Annotated, Any, Literal

from pydantic import Field

from soterone.domain.spec import QuerySpec
from soterone.rest.base import AccountText, Body, HashText, HexText

Deadline = Annotated[int, Field(ge=0, lt=2**64, description="Unix seconds; a uint64 of EIP-712.")]

QueryStatus = Literal[
    "proposed",
    "reserved",
    "dispatched",
    "running",
    "recovering",
    "delivering",
    "completed",
    "failed",
    "cancelled",
]


class TimerWishes(Body):
    """Timers of the order, in seconds."""

    max_run_seconds: int = Field(3600, ge=10, le=30 * 86400)
    result_retry_seconds: int = Field(600, ge=1, le=86400)
    cleanup_grace_seconds: int = Field(600, ge=1, le=86400)
    max_replacements: int = Field(2, ge=0, le=8)


class ProposalRequest(Body):
    """`POST /v1/queries/proposals`. `result_key` is the customer's public HPKE key, suite byte first."""

    spec: QuerySpec
    result_key: HexText
    timers: TimerWishes = TimerWishes()


class OrderBody(Body):
    """The EIP-712 message `QueryOrder`, field by field."""

    customer: AccountText
    salt: HashText
    spec_hash: HashText
    owners: list[AccountText]
    mpcs: list[AccountText]
    result_key_hash: HashText
    max_run_seconds: int
    result_retry_seconds: int
    cleanup_grace_seconds: int
    max_replacements: int
    deadline: int


class Proposal(Body):
    """What was reserved and what to sign; it lapses after `expires_in_seconds`."""

    query_id: HashText
    order: OrderBody
    expires_in_seconds: int


class LaunchRequest(Body):
    """`POST /v1/queries`: the order exactly as proposed, signed by the customer (EIP-712)."""

    query_id: HashText
    signature: HexText


class Failure(Body):
    """Why a query failed, for a person."""

    reason: int
    sentence: str
    node: AccountText | None = None


class ParticipantView(Body):
    """A node in a query, with how far it says it is."""

    account: AccountText
    role: Literal["data owner", "mpc node"]
    phase: str = ""
    fraction: float = 0.0
    detail: str = ""


class QueryView(Body):
    """A query as its customer sees it."""

    id: HashText
    name: str
    status: QueryStatus
    cleaned_up: bool
    generation: int
    spec: QuerySpec | None = Field(
        description="Null, as is the name, when the coordinator lost its memory and restored the query from the chain."
    )
    spec_hash: HashText
    participants: list[ParticipantView]
    failure: Failure | None = None
    result_hash: HashText | None = None
    created_at: str
    dispatched_tx: HashText | None = None


class QueryList(Body):
    """One page of the customer's queries, newest first."""

    queries: list[QueryView]
    next: str | None = None


class QueryEvent(Body):
    """One server-sent event of `GET /v1/queries/{id}/events`; `id:` is the sequence, so that a client resumes."""

    sequence: int
    kind: str
    at: str
    data: dict[str, Any]


class SealedShare(Body):
    """One sealed result share, as its node signed and delivered it."""

    node: AccountText
    rank: int
    share_hash: HashText
    signature: HexText
    sealed_base64: str


class ResultView(Body):
    """`GET /v1/queries/{id}/result`: sealed shares of the MPC nodes, sealed constants of the owners."""

    query_id: HashText
    generation: int
    result_hash: HashText
    shares: list[SealedShare]
    constants: list[SealedShare]


class FeedbackRequest(Body):
    """`POST /v1/queries/{id}/feedback`: EIP-712 `Feedback`; ratings in percent."""

    nodes: list[AccountText] = Field(min_length=1, max_length=16)
    ratings: list[int] = Field(min_length=1, max_length=16)
    deadline: Deadline
    signature: HexText


class CancelRequest(Body):
    """`POST /v1/queries/{id}/cancel`: EIP-712 `Cancellation` once it was dispatched; both empty before."""

    deadline: Deadline = 0
    signature: HexText = "0x"


class Accepted(Body):
    """The wish is recorded and will be written on chain; watch the query's events."""

    query_id: HashText
    status: QueryStatus
