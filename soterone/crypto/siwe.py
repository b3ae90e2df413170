"""Sign-In with Ethereum messages (EIP-4361): rendered for a wallet and parsed back, nothing assumed."""

import re
from dataclasses import dataclass
from datetime import datetime

from eth_account.messages import encode_defunct
from eth_utils import keccak

from soterone.domain.ids import Account

_PATTERN = re.compile(
    r"(?P<domain>[^\s/?#]+) wants you to sign in with your Ethereum account:\n"
    r"(?P<account>0x[0-9a-fA-F]{40})\n\n"
    r"(?P<statement>[^\n]+)\n\n"
    r"URI: (?P<uri>\S+)\nVersion: 1\nChain ID: (?P<chain_id>\d{1,18})\nNonce: (?P<nonce>[A-Za-z0-9]{8,64})\n"
    r"Issued At: (?P<issued_at>\S+)\nExpiration Time: (?P<expires_at>\S+)\Z"
)


class SignInError(ValueError):
    """A text that is not the sign-in message of this service."""


@dataclass(frozen=True, slots=True)
class SignInMessage:
    """The fields that SoterOne uses; times are aware datetimes."""

    domain: str
    account: Account
    statement: str
    uri: str
    chain_id: int
    nonce: str
    issued_at: datetime
    expires_at: datetime

    def render(self) -> str:
        """Return the exact text to sign."""
        return (
            f"{self.domain} wants you to sign in with your Ethereum account:\n{self.account}\n\n"
            f"{self.statement}\n\n"
            f"URI: {self.uri}\nVersion: 1\nChain ID: {self.chain_id}\nNonce: {self.nonce}\n"
            f"Issued At: {self.issued_at.isoformat()}\nExpiration Time: {self.expires_at.isoformat()}"
        )


def parse_sign_in(text: str) -> SignInMessage:
    """Return the message that a text is; SignInError when it is anything else."""
    match = _PATTERN.match(text)
    if match is None:
        raise SignInError("this is not a sign-in message of this service; ask for a new one")
    try:
        issued_at = datetime.fromisoformat(match["issued_at"])
        expires_at = datetime.fromisoformat(match["expires_at"])
    except ValueError as error:
        raise SignInError("the times of the sign-in message do not parse") from error
    if issued_at.tzinfo is None or expires_at.tzinfo is None:
        raise SignInError("the times of the sign-in message have no time zone")
    return SignInMessage(
        match["domain"], Account(match["account"]), match["statement"], match["uri"],
        int(match["chain_id"]), match["nonce"], issued_at, expires_at,
    )  # fmt: skip


def sign_in_digest(text: str) -> bytes:
    """Return the 32 bytes that a wallet signs for a text (EIP-191 personal message)."""
    signable = encode_defunct(text=text)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)
