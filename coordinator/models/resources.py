"""Reservations: what a node was promised to spend on a query, until when."""

from typing import ClassVar

from sqlmodel import Field, SQLModel

from coordinator.models.columns import account_field, bytes_field, hash_field


class Reservation(SQLModel, table=True):
    """One node's part of a query. `expires_at` None: held until the query is cleaned up.

    The sum of a node's live reservations never exceeds its capacity.
    """

    __tablename__: ClassVar[str] = "reservations"

    query_id: str = hash_field(primary_key=True)
    node: str = account_field(primary_key=True, index=True)
    cpu_cores: int
    memory_bytes: int = bytes_field()
    disk_bytes: int = bytes_field()
    reserved_at: float
    expires_at: float | None = Field(default=None, index=True)
