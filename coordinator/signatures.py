"""Who signed: a key first, else the wallet contract at that account (ERC-1271), as the contracts decide it."""

from soterone.chain.client import ChainClient
from soterone.crypto.messages import SignatureError, recover_digest
from soterone.domain.ids import Account


async def signed_by(chain: ChainClient, account: Account, digest: bytes, signature: bytes) -> bool:
    """Return whether `account` signed the 32-byte digest. Asks the chain only when no key of that account did.

    Never inside a database transaction. Errors: ChainUnreachableError.
    """
    try:
        if recover_digest(digest, signature) == account:
            return True
    except SignatureError:
        pass
    if not await chain.code_at(account):
        return False
    return await chain.is_valid_signature(account, digest, signature)
