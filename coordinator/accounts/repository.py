"""All SQL over nonces and tokens."""

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from coordinator.database import database_now
from coordinator.models.accounts import AccessToken, UsedNonce
from coordinator.models.queries import Query, StoredShare


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


async def delete_results(session: AsyncSession, customer: str) -> list[str]:
    """Forget the results of a customer's queries and what was for its eyes; returns the blobs nobody needs now."""
    mine = select(col(Query.id)).where(col(Query.customer) == customer)
    deleted = await session.scalars(
        delete(StoredShare)
        .where(col(StoredShare.query_id).in_(mine))
        .returning(col(StoredShare.share_hash))
        .execution_options(synchronize_session=False)
    )
    blobs = set(deleted)
    await session.execute(
        update(Query)
        .where(col(Query.customer) == customer)
        .values(name="deleted", result_key="0x", signature="")
    )
    kept = set(
        await session.scalars(
            select(col(StoredShare.share_hash)).where(col(StoredShare.share_hash).in_(blobs))
        )
    )
    return sorted(blobs - kept)


async def delete_expired(session: AsyncSession) -> None:
    """Forget what has expired."""
    await session.execute(delete(UsedNonce).where(col(UsedNonce.expires_at) <= database_now()))
    await session.execute(delete(AccessToken).where(col(AccessToken.expires_at) <= database_now()))
