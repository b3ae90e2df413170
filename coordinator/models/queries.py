"""Queries from proposal to cleanup: the order, who takes part, what was offered, delivered and told."""

from enum import StrEnum
from typing import ClassVar

from sqlalchemy import Index, Text, false
from sqlmodel import Field, SQLModel

from coordinator.models.columns import account_field, bytes_field, counter_field, hash_field

CONSTANTS_RANK = 255
"""The rank under which data owners deliver their sealed standardisation constants."""

UNKNOWN_SPEC = ""
"""The spec of a query that was restored from the chain, which knows only its hash."""


class Query(SQLModel, table=True):
    """One query. What the chain says of it is projected from `ChainLog` rows by `coordinator.chain.projection`.

    `signature` is empty until the customer signed; `failure_reason` 0 beside a failed status means that the
    chain never took the order. `announced_hash` is on its way to the chain, which makes it `result_hash`.
    `cleaned_up` needs the chain's word (`cleanup_tx`) and every participant's. `due_at` is when the reconciler
    must look again, None when nothing is left to do.

    `generation` never goes back; `chain_generation` is what the chain says now, less for a while after a
    reorganisation. `looked_at` is when the reconciler last looked: after a gap it waits until `patient_until` for what
    could not be delivered. `failed_steps` counts its steps in a row that raised.

    A query that was restored from the chain has an `UNKNOWN_SPEC`; nobody reports on it until its nodes enrol again.
    """

    __tablename__: ClassVar[str] = "queries"
    __table_args__ = (Index("queries_by_customer", "customer", "created_at"),)

    id: str = hash_field(primary_key=True)
    customer: str = account_field()
    name: str = Field(max_length=80)
    status: str = Field(max_length=16, index=True)
    cleaned_up: bool = False
    generation: int = 0
    chain_generation: int = counter_field()
    spec_json: str = Field(sa_type=Text)
    spec_hash: str = hash_field()
    result_key: str = Field(sa_type=Text)
    result_key_hash: str = hash_field()
    salt: str = hash_field()
    max_run_seconds: int
    result_retry_seconds: int
    cleanup_grace_seconds: int
    max_replacements: int
    order_deadline: int = bytes_field()
    signature: str = Field(default="", sa_type=Text)
    created_at: float
    expires_at: float
    signed_at: float | None = None
    dispatched_at: float | None = None
    dispatched_tx: str | None = hash_field(default=None)
    training_ended_at: float | None = None
    ended_at: float | None = None
    end_tx: str | None = hash_field(default=None)
    announced_hash: str | None = hash_field(default=None)
    result_hash: str | None = hash_field(default=None)
    announced_reason: int | None = None
    failure_reason: int | None = None
    failure_sentence: str = Field(default="", max_length=500)
    failure_node: str | None = account_field(default=None)
    cleanup_tx: str | None = hash_field(default=None)
    settled_at: float | None = None
    due_at: float | None = Field(default=None, index=True)
    looked_at: float | None = None
    patient_until: float | None = None
    failed_steps: int = counter_field()

    @property
    def is_restored(self) -> bool:
        """Whether all that is known of it came from the chain."""
        return self.spec_json == UNKNOWN_SPEC


class Participant(SQLModel, table=True):
    """A node in a query. `rank` is its place among the owners or among the MPC nodes, accounts ascending.

    `joined_generation` is 0 for those who were ordered; `lost_generation` is the one that its loss began.
    """

    __tablename__: ClassVar[str] = "participants"

    query_id: str = hash_field(primary_key=True, foreign_key="queries.id", ondelete="CASCADE")
    account: str = account_field(primary_key=True, index=True)
    role: int
    rank: int
    operator: str = account_field()
    datasets_json: str = Field(default="[]", sa_type=Text)
    joined_generation: int = 0
    lost_generation: int | None = None
    generation: int = 0
    attempt: int = 0
    phase: str = Field(default="", max_length=16)
    fraction: float = 0.0
    detail: str = Field(default="", max_length=200)
    heard_at: float | None = None
    cleaned_at: float | None = None
    cleanup_signature: str = Field(default="", max_length=132)
    rating: int | None = None


class OfferState(StrEnum):
    """`ASKED` until the node answers; `RELEASED` tells the node to forget it, `DROPPED` once it was told."""

    ASKED = "asked"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    RELEASED = "released"
    DROPPED = "dropped"


class Offer(SQLModel, table=True):
    """What one node was asked. It outlives a withdrawn proposal, so that the node still hears of the release.

    `accepted_operators_json` lists whose MPC nodes an owner accepts; empty: anybody's.
    """

    __tablename__: ClassVar[str] = "offers"

    query_id: str = hash_field(primary_key=True)
    node: str = account_field(primary_key=True, index=True)
    state: str = Field(max_length=16, index=True)
    sentence: str = Field(default="", max_length=500)
    accepted_operators_json: str = Field(
        default="[]", sa_type=Text, sa_column_kwargs={"server_default": "[]"}
    )
    asked_at: float
    expires_at: float = Field(index=True)
    answered_at: float | None = None


class FailureNote(SQLModel, table=True):
    """A participant's report that a query cannot go on; of a generation the first counts that is not hearsay."""

    __tablename__: ClassVar[str] = "failure_notes"

    query_id: str = hash_field(primary_key=True, foreign_key="queries.id", ondelete="CASCADE")
    generation: int = Field(primary_key=True)
    node: str = account_field(primary_key=True)
    reason: int
    sentence: str = Field(max_length=500)
    heard: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    reported_at: float


class LossComplaint(SQLModel, table=True):
    """A participant's signed LossReport about an MPC node of its generation; `deadline` by the chain's clock."""

    __tablename__: ClassVar[str] = "loss_complaints"

    query_id: str = hash_field(primary_key=True, foreign_key="queries.id", ondelete="CASCADE")
    generation: int = Field(primary_key=True)
    reporter: str = account_field(primary_key=True)
    lost: str = account_field(primary_key=True)
    unlinked: bool
    deadline: int = bytes_field()
    signature: str = Field(max_length=132)
    reported_at: float


class Replacement(SQLModel, table=True):
    """A loss that was recorded, and the draw that follows it: `generation` is the one that it leads to.

    The hash of block `seed_block`, which did not exist yet, is the seed. `vacant_since`: a draw found nobody.
    """

    __tablename__: ClassVar[str] = "replacements"

    query_id: str = hash_field(primary_key=True, foreign_key="queries.id", ondelete="CASCADE")
    generation: int = Field(primary_key=True)
    lost: str = account_field()
    blamed: bool
    reporter: str = account_field()
    deadline: int = bytes_field()
    signature: str = Field(max_length=132)
    seed_block: int = bytes_field()
    recorded_at: float
    vacant_since: float | None = None
    successor: str | None = account_field(default=None)


class StoredShare(SQLModel, table=True):
    """A sealed result share (rank 0 to 2) or sealed constants (rank 255); the bytes lie in the blob store."""

    __tablename__: ClassVar[str] = "stored_shares"

    query_id: str = hash_field(primary_key=True, foreign_key="queries.id", ondelete="CASCADE")
    generation: int = Field(primary_key=True)
    node: str = account_field(primary_key=True)
    rank: int
    share_hash: str = hash_field(index=True)
    signature: str = Field(max_length=132)
    size_bytes: int = bytes_field()
    stored_at: float


class QueryEventRow(SQLModel, table=True):
    """The audit trail of a query, also what server-sent events tell; `data_json` holds no secret."""

    __tablename__: ClassVar[str] = "query_events"

    query_id: str = hash_field(primary_key=True, foreign_key="queries.id", ondelete="CASCADE")
    sequence: int = Field(primary_key=True)
    kind: str = Field(max_length=40)
    at: float
    data_json: str = Field(default="{}", sa_type=Text)
