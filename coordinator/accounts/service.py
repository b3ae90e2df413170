"""Sign-In with Ethereum (EIP-4361) and the opaque tokens that it gives.

A nonce carries its own proof (an HMAC over everything in the message), so that asking for nonces stores nothing;
it is remembered only once it was used.
"""

import hashlib
import hmac
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from coordinator.accounts import repository
from coordinator.accounts.errors import NotSignedIn, SignInRefused, StillANode, StillBusy
from coordinator.context import Context
from coordinator.nodes import repository as nodes
from coordinator.queries.statistics import unfinished_of
from coordinator.scrubbing import is_free, scrub
from coordinator.signatures import signed_by
from coordinator.wakeups import Topic
from soterone.crypto.accounts import account as checksummed
from soterone.crypto.siwe import SignInError, SignInMessage, parse_sign_in, sign_in_digest
from soterone.domain.ids import Account, hash32
from soterone.rest.auth import NonceReply, TokenReply

STATEMENT: Final = "Sign in to SoterOne. This costs nothing and sends no transaction."
_RANDOM_BYTES: Final = 12
_PROOF_DIGITS: Final = 40


async def nonce(context: Context, account: str) -> NonceReply:
    """Return the message that this account must sign within `sign_in_seconds`."""
    now = datetime.fromtimestamp(int(await context.database.now()), UTC)
    lifetime = context.settings.sign_in_seconds
    draft = SignInMessage(
        domain=sign_in_domain(context),
        account=checksummed(account),
        statement=STATEMENT,
        uri=f"https://{sign_in_domain(context)}",
        chain_id=context.chain.contracts.chain_id,
        nonce=secrets.token_hex(_RANDOM_BYTES),
        issued_at=now,
        expires_at=now + timedelta(seconds=lifetime),
    )
    message = replace(draft, nonce=draft.nonce + _proof(context, draft))
    return NonceReply(message=message.render(), nonce=message.nonce, expires_in_seconds=lifetime)


async def verify(context: Context, text: str, signature: bytes) -> TokenReply:
    """Return a token for a signed sign-in message; SignInRefused when anything about it does not hold."""
    message = await _checked(context, text)
    if not await signed_by(context.chain, message.account, sign_in_digest(text), signature):
        raise SignInRefused("the signature is not by the account in the message")
    token = secrets.token_urlsafe(32)
    lifetime = context.settings.token_seconds
    async with context.database.transaction() as session:
        used = hash32(hashlib.sha256(message.nonce.encode()).digest())
        if not await repository.use_nonce(session, used, message.expires_at.timestamp()):
            raise SignInRefused("this sign-in message was used before")
        await repository.add_token(session, _token_hash(token), message.account, lifetime)
    return TokenReply(token=token, account=message.account, expires_in_seconds=lifetime)


async def account_of_token(context: Context, token: str) -> Account:
    """Return whose token it is; NotSignedIn when unknown, expired or revoked."""
    async with context.database.reading() as session:
        account = await repository.token_account(session, _token_hash(token))
    if account is None:
        raise NotSignedIn()
    return Account(account)


async def delete_account(context: Context, account: Account) -> None:
    """Forget a customer: tokens and results go, its queries stay in other people's history under a pseudonym.

    StillANode or StillBusy while something of it has not ended.
    """
    async with context.database.transaction() as session:
        if await nodes.get(session, account) is not None:
            raise StillANode(account)
        unfinished = await unfinished_of(session, account)
        if unfinished or not await is_free(session, account, context.limits.final_depth_blocks):
            raise StillBusy(max(unfinished, 1))
        await repository.revoke_tokens(session, account)
        blobs = await repository.delete_results(session, account)
        await scrub(session, account)
    for blob in blobs:
        await context.results.delete(blob)
    context.wakeups.notify(Topic.SCRUBBED)
    await context.database.purge()


def sign_in_domain(context: Context) -> str:
    """Return host and port as customers know this coordinator."""
    return f"{context.settings.public_host}:{context.settings.rest_port}"


async def _checked(context: Context, text: str) -> SignInMessage:
    try:
        message = parse_sign_in(text)
    except SignInError as error:
        raise SignInRefused(str(error)) from error
    if message.domain != sign_in_domain(context) or message.chain_id != context.chain.contracts.chain_id:
        raise SignInRefused("the message is for another service or another chain")
    random, proof = message.nonce[: 2 * _RANDOM_BYTES], message.nonce[2 * _RANDOM_BYTES :]
    genuine = _proof(context, replace(message, nonce=random))
    if text != message.render() or not hmac.compare_digest(proof.encode(), genuine.encode()):
        raise SignInRefused("this service did not make the message")
    if message.expires_at.timestamp() <= await context.database.now():
        raise SignInRefused("the message has expired")
    return message


def _proof(context: Context, message: SignInMessage) -> str:
    tag = hmac.new(context.sign_in_secret, message.render().encode(), hashlib.sha256)
    return tag.hexdigest()[:_PROOF_DIGITS]


def _token_hash(token: str) -> str:
    return hash32(hashlib.sha256(token.encode()).digest())
