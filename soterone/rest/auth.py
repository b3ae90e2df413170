"""Sign-In with Ethereum (EIP-4361): `POST /v1/auth/nonce` and `POST /v1/auth/verify`."""

from pydantic import Field

from soterone.rest.base import AccountText, Body, HexText


class NonceRequest(Body):
    """Who wants to sign in."""

    account: AccountText


class NonceReply(Body):
    """The complete EIP-4361 message to sign; its nonce works once."""

    message: str
    nonce: str
    expires_in_seconds: int


class VerifyRequest(Body):
    """The message as it was given, signed by EIP-191 (or by an ERC-1271 wallet)."""

    message: str = Field(max_length=4096)
    signature: HexText


class TokenReply(Body):
    """A bearer token for `Authorization`."""

    token: str
    account: AccountText
    expires_in_seconds: int
