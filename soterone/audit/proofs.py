"""Storage as Merkle-Patricia proofs show it (`eth_getProof`, EIP-1186), against the state root of one header."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp
from eth_utils.crypto import keccak
from trie import HexaryTrie
from trie.exceptions import MissingTrieNode

from soterone.audit.headers import Header
from soterone.audit.report import Finding
from soterone.audit.words import Word
from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError
from soterone.crypto.accounts import account_bytes
from soterone.domain.ids import Account, Hash32, hash32

KEYS_AT_ONCE = 500
"""Some nodes refuse a proof of more than 1,024 keys."""

ATTEMPTS = 3
"""So often a node is asked: one that takes in a block just then may answer from the next state."""

_EMPTY_CODE = keccak(b"")
_CODE_HASH = 3
_STORAGE_ROOT = 2


class BadProofError(ChainError):
    """A proof that does not lead from the state root to what it should prove."""

    def __init__(self, account: Account, block: int) -> None:
        super().__init__(
            f"The chain's RPC proves the state of {account} after block {block} by hashes that do not fit the block's "
            "header. It lies, or its state is not that of this block: use another RPC."
        )
        self.account, self.block = account, block


@dataclass(frozen=True, slots=True)
class Proven:
    """What an account holds: the hash of its code, and its storage by key (32 bytes)."""

    code_hash: Hash32
    storage: Mapping[bytes, int]


async def prove(chain: ChainClient, header: Header, account: Account, keys: Sequence[bytes]) -> Proven:
    """Return an account's code hash and storage at `keys`, as proven by the header; BadProofError when the proof does
    not hold, RpcError where the node keeps no state of that block."""
    storage: dict[bytes, int] = {}
    code_hash = hash32(_EMPTY_CODE)
    for start in range(0, max(len(keys), 1), KEYS_AT_ONCE):
        part = await _prove(chain, header, account, keys[start : start + KEYS_AT_ONCE])
        storage |= part.storage
        code_hash = part.code_hash
    return Proven(code_hash, storage)


def compare(words: Iterable[Word], proven: Mapping[str, Proven]) -> Iterator[Finding]:
    """Complain of every word that storage does not hold as the events give it; `proven` by contract name."""
    for word in words:
        stored = proven[word.contract].storage[word.key]
        if stored not in word.allowed:
            given = " or ".join(f"{one:#x}" for one in word.allowed)
            sentence = f"{word.contract} holds {stored:#x} for {word.what}, its events give {given}"
            yield Finding(sentence, (word.subject,) if word.subject else ())


async def _prove(chain: ChainClient, header: Header, account: Account, keys: Sequence[bytes]) -> Proven:
    texts = [f"0x{key.hex()}" for key in keys]
    problem: Exception | None = None
    for _ in range(ATTEMPTS):
        answer = await chain.rpc.call("eth_getProof", account, texts, hex(header.block.number))
        try:
            code_hash, root = _account(answer["accountProof"], header.state_root, account)
            nodes = _nodes(node for one in answer["storageProof"] for node in one["proof"])
            return Proven(code_hash, {key: _slot(nodes, root, key) for key in keys})
        except (MissingTrieNode, rlp.DecodingError, KeyError, TypeError, ValueError) as error:
            problem = error
    raise BadProofError(account, header.block.number) from problem


def _account(proof: Sequence[str], state_root: bytes, account: Account) -> tuple[Hash32, bytes]:
    leaf = HexaryTrie(_nodes(proof), state_root)[keccak(account_bytes(account))]
    if not leaf:
        return hash32(_EMPTY_CODE), keccak(rlp.encode(b""))
    fields: list[Any] = rlp.decode(leaf)
    return hash32(fields[_CODE_HASH]), fields[_STORAGE_ROOT]


def _slot(nodes: dict[bytes, bytes], root: bytes, key: bytes) -> int:
    leaf = HexaryTrie(nodes, root)[keccak(key)]
    return int.from_bytes(rlp.decode(leaf)) if leaf else 0


def _nodes(proof: Iterable[str]) -> dict[bytes, bytes]:
    """Each node by the hash that is computed of it, so that a forged one is found nowhere."""
    texts = set(proof)
    nodes = (bytes.fromhex(text[2:]) for text in texts)
    return {keccak(node): node for node in nodes}
