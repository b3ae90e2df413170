"""Nodes, how long each counts as online, and until when anybody listened to them."""

from enum import StrEnum
from typing import ClassVar

from sqlmodel import Field, SQLModel

from coordinator.models.columns import account_field, bytes_field, hash_field


class NodeStatus(StrEnum):
    """`PENDING` until its registration is mined, `LEAVING` until its unregistration is.

    `GONE` means unregistered on chain; the row and every trace of the node are scrubbed next.
    """

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEAVING = "leaving"
    GONE = "gone"


class Node(SQLModel, table=True):
    """A registered node, as it stands on chain with the profile and certificate behind the hashes."""

    __tablename__: ClassVar[str] = "nodes"

    account: str = account_field(primary_key=True)
    operator: str = account_field(index=True)
    roles: int
    version: int
    incarnation: int
    status: str = Field(max_length=16, index=True)
    tls_key_hash: str = hash_field(index=True)
    profile_hash: str = hash_field()
    profile_version: int = 1
    profile_json: str = Field(max_length=4096)
    certificate_pem: str = Field(default="", max_length=8192)
    registered_at: float


class NodeLiveness(SQLModel, table=True):
    """One row a node: online while `online_until` lies after the last moment when somebody listened.

    The snapshot is the latest that the node sent; `memory_total_bytes` 0 means that it sent none yet.
    """

    __tablename__: ClassVar[str] = "node_liveness"

    account: str = account_field(primary_key=True, foreign_key="nodes.account", ondelete="CASCADE")
    online_until: float = 0.0
    heartbeat_at: float = 0.0
    cpu_fraction: float = 0.0
    memory_used_bytes: int = bytes_field(default=0)
    memory_total_bytes: int = bytes_field(default=0)
    disk_free_bytes: int = bytes_field(default=0)
    load_1min: float = 0.0


class ListeningLease(SQLModel, table=True):
    """The last moment when an rpc service listened to heartbeats; silence counts only up to the latest."""

    __tablename__: ClassVar[str] = "listening_leases"

    service: str = Field(primary_key=True, max_length=64)
    heard_at: float
