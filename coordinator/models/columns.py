"""How the columns of every table are made, so that an account or a hash looks the same everywhere."""

from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field

ACCOUNT_LENGTH = 42
HASH_LENGTH = 66


def account_field(**options: Any) -> Any:
    """Return a column for a checksummed account."""
    return Field(max_length=ACCOUNT_LENGTH, **options)


def hash_field(**options: Any) -> Any:
    """Return a column for a `0x` hash or query id."""
    return Field(max_length=HASH_LENGTH, **options)


def bytes_field(**options: Any) -> Any:
    """Return a column for a number of bytes, beyond 32 bits."""
    return Field(sa_type=BigInteger, **options)


def counter_field() -> Any:
    """Return a column that counts from 0, also for rows that an earlier version of this program writes."""
    return Field(default=0, sa_column_kwargs={"server_default": "0"})
