"""The transactions behind the events: read whole, bound to their hashes, and taken apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import rlp
from eth_account import Account as EthAccount
from eth_utils.crypto import keccak

from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError
from soterone.crypto.accounts import account
from soterone.domain.ids import Account, Hash32, hash32

_BATCH = 250
_LEGACY = 0xC0
_PLACES = {1: (4, 6), 2: (5, 7), 3: (5, 7), 4: (5, 7)}
"""Where recipient and calldata stand by EIP-2718 type: EIP-2930, EIP-1559, EIP-4844, EIP-7702."""


class ForgedTransactionError(ChainError):
    """The RPC gave other bytes for a transaction than its hash says."""

    def __init__(self, transaction_hash: Hash32) -> None:
        super().__init__(
            f"The chain's RPC gives bytes for transaction {transaction_hash} that do not have this hash. "
            "Use another RPC."
        )
        self.transaction_hash = transaction_hash


@dataclass(frozen=True, slots=True)
class Transaction:
    """A mined transaction; `to` is None when it created a contract. `raw` are its signed bytes."""

    hash: Hash32
    to: Account | None
    data: bytes
    raw: bytes

    @classmethod
    def from_raw(cls, transaction_hash: Hash32, raw: bytes) -> "Transaction":
        """Take signed bytes apart; ForgedTransactionError when they have another hash or are no transaction."""
        if not raw or hash32(keccak(raw)) != transaction_hash:
            raise ForgedTransactionError(transaction_hash)
        try:
            to, data = _parts(raw)
        except (rlp.DecodingError, IndexError, KeyError) as error:
            raise ForgedTransactionError(transaction_hash) from error
        return cls(transaction_hash, account(to) if to else None, data, raw)

    @property
    def sender(self) -> Account:
        """Who signed it."""
        return Account(EthAccount.recover_transaction(self.raw))


async def read_transactions(chain: ChainClient, hashes: Sequence[Hash32]) -> dict[Hash32, Transaction]:
    """Return the transactions by hash. RpcError where the node serves no `eth_getRawTransactionByHash`."""
    found: dict[Hash32, Transaction] = {}
    for start in range(0, len(hashes), _BATCH):
        wanted = hashes[start : start + _BATCH]
        answers = await chain.rpc.batch([("eth_getRawTransactionByHash", (one,)) for one in wanted])
        for one, answer in zip(wanted, answers, strict=True):
            found[one] = Transaction.from_raw(one, bytes.fromhex((answer or "0x")[2:]))
    return found


def _parts(raw: bytes) -> tuple[bytes, bytes]:
    legacy = raw[0] >= _LEGACY
    fields: list[Any] = rlp.decode(raw if legacy else raw[1:])
    to, data = (3, 5) if legacy else _PLACES[raw[0]]
    return fields[to], fields[data]
