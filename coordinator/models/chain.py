"""What the coordinator keeps of the chain: transactions to send, the follower's trail, the events that it acted on."""

from typing import ClassVar

from sqlalchemy import Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

from coordinator.models.columns import account_field, bytes_field, hash_field


class OutboxEntry(SQLModel, table=True):
    """A transaction that was decided together with the rows it announces. `key` is its name, made of business id,
    action and generation, so that nothing is announced twice; `state` is a `soterone.chain.outbox.RowState`.

    `transaction_hash` and the block are those of the attempt that was mined.
    """

    __tablename__: ClassVar[str] = "outbox"

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(max_length=160, unique=True)
    business_id: str = Field(max_length=66, index=True)
    action: str = Field(max_length=32)
    generation: int = 0
    recipient: str = account_field()
    data: bytes = Field(sa_type=LargeBinary)
    description: str = Field(default="", max_length=200)
    gas_limit: int | None = bytes_field(default=None)
    state: str = Field(max_length=16, index=True)
    sender: str = account_field(default="", index=True)
    created_at: float
    transaction_hash: str | None = hash_field(default=None)
    block_number: int | None = bytes_field(default=None)
    block_hash: str | None = hash_field(default=None)
    gas_used: int | None = bytes_field(default=None)
    error_name: str = Field(default="", max_length=80)
    error: str = Field(default="", sa_type=Text)


class OutboxAttempt(SQLModel, table=True):
    """A signed transaction of an entry, saved before it is sent; all attempts of an entry have one nonce.

    Fees in wei as text, as they go beyond 64 bits.
    """

    __tablename__: ClassVar[str] = "outbox_attempts"

    entry: int = Field(primary_key=True, foreign_key="outbox.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    transaction_hash: str = hash_field(index=True)
    raw: bytes = Field(sa_type=LargeBinary)
    nonce: int = bytes_field()
    gas_limit: int = bytes_field()
    max_fee_wei: str = Field(max_length=80)
    priority_fee_wei: str = Field(max_length=80)
    signed_at: float


class SenderLease(SQLModel, table=True):
    """Which sender owns an account's nonces, until when by the database's clock."""

    __tablename__: ClassVar[str] = "sender_leases"

    account: str = account_field(primary_key=True)
    holder: str = Field(max_length=64)
    expires_at: float


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
