"""What only the calldata of a dispatch holds: the order's salt and deadline, and the customer's signature."""

from collections.abc import Sequence
from dataclasses import dataclass

from soterone.chain.client import ChainClient
from soterone.chain.codec import decode_call
from soterone.domain.ids import Hash32, hash32

_BATCH = 250
_SALT, _DEADLINE = 1, 10


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """The rest of an order; an order that came through another contract has the `UNKNOWN` one."""

    salt: Hash32
    deadline: int
    signature: str


UNKNOWN = SignedOrder(hash32(bytes(32)), 0, "")


async def read_orders(chain: ChainClient, transactions: Sequence[Hash32]) -> dict[Hash32, SignedOrder]:
    """Return the orders of those transactions that called `dispatch` themselves, by transaction."""
    orders = {}
    for start in range(0, len(transactions), _BATCH):
        wanted = transactions[start : start + _BATCH]
        found = await chain.rpc.batch([("eth_getTransactionByHash", (one,)) for one in wanted])
        for one in filter(None, found):
            values = decode_call("QueryLedger", "dispatch", bytes.fromhex(one["input"][2:]))
            if values is not None:
                order, signature = values
                signed = SignedOrder(order[_SALT], order[_DEADLINE], f"0x{signature.hex()}")
                orders[hash32(one["hash"])] = signed
    return orders
