"""All SQL over nonces and tokens."""

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import database_now
from coordinator.models.accounts import AccessToken, UsedNonce


async def use_nonce(session: AsyncSession, nonce_hash: str, expires_at: float) -> bool:
    """Mark a nonce as used; False when it was used before."""
    dialect = session.get_bind().dialect.name
    insert = sqlite_insert if dialect == "sqlite" else postgresql_insert
    values = insert(UsedNonce).values(nonce_hash=nonce_hash, expires_at=expires_at)
    inserted = await session.scalar(values.on_conflict_do_nothing().returning(col(UsedNonce.nonce_hash)))
    return inserted is not None


async def add_token(session: AsyncSession, token_hash: str, account: str, lifetime_seconds: int) -> None:
    """Keep a new token's hash."""
    now = await session.scalar(select(database_now()))
    expires_at = (now or 0.0) + lifetime_seconds
    session.add(AccessToken(token_hash=token_hash, account=account, expires_at=expires_at))
    await session.flush()


async def token_account(session: AsyncSession, token_hash: str) -> str | None:
    """Return whose token it is; None when unknown or expired."""
    return await session.scalar(
        select(col(AccessToken.account)).where(
            col(AccessToken.token_hash) == token_hash, col(AccessToken.expires_at) > database_now()
        )
    )


async def revoke_tokens(session: AsyncSession, account: str) -> None:
    """Delete every token of an account."""
    await session.execute(delete(AccessToken).where(col(AccessToken.account) == account))


async def delete_expired(session: AsyncSession) -> None:
    """Forget what has expired."""
    await session.execute(delete(UsedNonce).where(col(UsedNonce.expires_at) <= database_now()))
    await session.execute(delete(AccessToken).where(col(AccessToken.expires_at) <= database_now()))
