"""Block headers as their hashes bind them (yellow paper, 4.3; EIP-1559, 4895, 4844, 4788, 7685)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rlp
from eth_utils.crypto import keccak

from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError, UnknownBlockError
from soterone.chain.records import Block
from soterone.domain.ids import Hash32, hash32

_HASHES = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom")
_NUMBERS = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")
_BYTES = ("extraData", "mixHash", "nonce")
_LATER: tuple[tuple[str, bool], ...] = (
    ("baseFeePerGas", True),
    ("withdrawalsRoot", False),
    ("blobGasUsed", True),
    ("excessBlobGas", True),
    ("parentBeaconBlockRoot", False),
    ("requestsHash", False),
    ("blockAccessListHash", False),
)
"""What later forks added, in order, and whether it is a number. A header has them up to its fork."""


class ForgedHeaderError(ChainError):
    """A header does not have the hash that the RPC gives for it."""

    def __init__(self, number: int, block_hash: Hash32) -> None:
        super().__init__(
            f"The chain's RPC gives a header for block {number} that does not have the hash {block_hash}. "
            "It lies, or its chain has headers of another kind: use another RPC."
        )
        self.number, self.block_hash = number, block_hash


@dataclass(frozen=True, slots=True)
class Header:
    """A header whose hash was computed anew: `state_root` belongs to `block`."""

    block: Block
    state_root: bytes


def read_header(found: Mapping[str, Any]) -> Header:
    """Return a block as the RPC gives it; ForgedHeaderError when its fields do not hash to its hash."""
    block = Block.from_rpc(found)
    if hash_of(found) != block.hash:
        raise ForgedHeaderError(block.number, block.hash)
    return Header(block, _bytes(found["stateRoot"]))


def hash_of(found: Mapping[str, Any]) -> Hash32:
    """Return the hash that a block's fields, as the RPC gives them, have."""
    fields = [_bytes(found[name]) for name in _HASHES]
    fields += [_number(found[name]) for name in _NUMBERS]
    fields += [_bytes(found[name]) for name in _BYTES]
    for name, is_number in _LATER:
        if found.get(name) is None:
            break
        fields.append(_number(found[name]) if is_number else _bytes(found[name]))
    return hash32(keccak(rlp.encode(fields)))


async def header_at(chain: ChainClient, number: int) -> Header:
    """Return the header at a height; UnknownBlockError when the chain is shorter."""
    found = await chain.rpc.call("eth_getBlockByNumber", hex(number), False)
    if found is None:
        raise UnknownBlockError(number)
    return read_header(found)


async def header_of(chain: ChainClient, block_hash: Hash32) -> Header:
    """Return the header with a hash, which it is checked to have; UnknownBlockError when the RPC has none."""
    found = await chain.rpc.call("eth_getBlockByHash", block_hash, False)
    if found is None:
        raise UnknownBlockError(block_hash)
    header = read_header(found)
    if header.block.hash != block_hash:
        raise ForgedHeaderError(header.block.number, block_hash)
    return header


async def headers_at(chain: ChainClient, numbers: list[int], at_once: int = 200) -> dict[int, Header]:
    """Return the headers at many heights, each checked; UnknownBlockError when one is missing."""
    headers: dict[int, Header] = {}
    for start in range(0, len(numbers), at_once):
        wanted = numbers[start : start + at_once]
        answers = await chain.rpc.batch([("eth_getBlockByNumber", (hex(one), False)) for one in wanted])
        for number, found in zip(wanted, answers, strict=True):
            if found is None:
                raise UnknownBlockError(number)
            headers[number] = read_header(found)
            if headers[number].block.number != number:
                raise ForgedHeaderError(number, headers[number].block.hash)
    return headers


def _bytes(text: str) -> bytes:
    digits = text[2:]
    return bytes.fromhex(digits if len(digits) % 2 == 0 else f"0{digits}")


def _number(text: str) -> bytes:
    number = int(text, 16)
    return number.to_bytes((number.bit_length() + 7) // 8)
