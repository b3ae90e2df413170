"""The identifiers that cross every border: accounts, query ids, dataset ids and hashes, each its own type."""

import re
from typing import NewType

Account = NewType("Account", str)
"""A checksummed (EIP-55) Ethereum address, `0x` and 40 hexadecimal digits."""

QueryId = NewType("QueryId", str)
"""`0x` and 64 lower-case hexadecimal digits: keccak256(abi.encode(chainId, ledger, customer, salt))."""

DatasetId = NewType("DatasetId", str)
"""A UUID (RFC 9562) as lower-case text, given by the data owner's agent."""

Hash32 = NewType("Hash32", str)
"""`0x` and 64 lower-case hexadecimal digits."""

_HASH = re.compile(r"0x[0-9a-f]{64}\Z")


def hash32(value: bytes | str) -> Hash32:
    """Return 32 bytes, or their hexadecimal text with or without `0x`, as `Hash32`; ValueError otherwise."""
    text = value.hex() if isinstance(value, bytes) else value.lower().removeprefix("0x")
    text = f"0x{text}"
    if not _HASH.match(text):
        raise ValueError("expected 32 bytes as 64 hexadecimal digits")
    return Hash32(text)


def query_id(value: bytes | str) -> QueryId:
    """Return a query id in its one textual form; ValueError when it is not 32 bytes."""
    return QueryId(hash32(value))


def hash_bytes(value: str) -> bytes:
    """Return the 32 bytes of a `Hash32` or `QueryId`."""
    return bytes.fromhex(hash32(value)[2:])
