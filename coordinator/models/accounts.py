"""Sign-in: nonces that were used and tokens that are out, both only as hashes."""

from typing import ClassVar

from sqlmodel import Field, SQLModel

from coordinator.models.columns import account_field, hash_field


class UsedNonce(SQLModel, table=True):
    """A sign-in nonce that worked once; forgotten when its message has expired."""

    __tablename__: ClassVar[str] = "used_nonces"

    nonce_hash: str = hash_field(primary_key=True)
    expires_at: float = Field(index=True)


class AccessToken(SQLModel, table=True):
    """A bearer token; only its SHA-256 is kept."""

    __tablename__: ClassVar[str] = "access_tokens"

    token_hash: str = hash_field(primary_key=True)
    account: str = account_field(index=True)
    expires_at: float = Field(index=True)
