"""What the coordinator keeps of the chain: transactions to send, the follower's trail, the events that it acted on."""

from typing import ClassVar

from sqlalchemy import Index, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from coordinator.models.columns import account_field, bytes_field, hash_field


class OutboxRow(SQLModel, table=True):
    """A transaction that was decided together with the rows it announces; (business_id, action, generation) is its
    name, so that nothing is announced twice.

    `raw` are the signed bytes, saved before they are sent; fees in wei as text, beyond 64 bits.
    """

    __tablename__: ClassVar[str] = "outbox"
    __table_args__ = (
        UniqueConstraint("business_id", "action", "generation"),
        Index("outbox_by_nonce", "sender", "nonce"),
    )

    id: int | None = Field(default=None, primary_key=True)
    business_id: str = hash_field()
    action: str = Field(max_length=32)
    generation: int = 0
    recipient: str = account_field()
    data: bytes = Field(sa_type=LargeBinary)
    description: str = Field(default="", max_length=200)
    state: str = Field(max_length=16, index=True)
    sender: str = account_field(default="")
    nonce: int | None = bytes_field(default=None)
    raw: bytes | None = Field(default=None, sa_type=LargeBinary)
    transaction_hash: str | None = hash_field(default=None, index=True)
    gas: int | None = bytes_field(default=None)
    max_fee_wei: str = Field(default="0", max_length=80)
    priority_fee_wei: str = Field(default="0", max_length=80)
    created_at: float
    signed_at: float | None = None
    claimed_until: float = 0.0
    block_number: int | None = bytes_field(default=None)
    block_hash: str | None = hash_field(default=None)
    error_name: str = Field(default="", max_length=80)
    error: str = Field(default="", sa_type=Text)


class TrailBlock(SQLModel, table=True):
    """A position of the follower's cursor; the highest number is the cursor itself."""

    __tablename__: ClassVar[str] = "chain_trail"

    follower: str = Field(primary_key=True, max_length=40)
    number: int = bytes_field(primary_key=True)
    hash: str = hash_field()


class ChainLog(SQLModel, table=True):
    """An event of the contracts that rows depend on, under its identity across reorganisations."""

    __tablename__: ClassVar[str] = "chain_logs"
    __table_args__ = (Index("chain_logs_by_query", "query_id", "block_number", "log_index"),)

    chain_id: int = bytes_field(primary_key=True)
    block_hash: str = hash_field(primary_key=True)
    transaction_hash: str = hash_field(primary_key=True)
    log_index: int = Field(primary_key=True)
    block_number: int = bytes_field(index=True)
    block_time: int = bytes_field()
    name: str = Field(max_length=40)
    query_id: str | None = hash_field(default=None)
    node: str | None = account_field(default=None, index=True)
    data_json: str = Field(default="{}", sa_type=Text)
