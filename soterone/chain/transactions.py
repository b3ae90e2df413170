"""Signed EIP-1559 transactions and what they offer to pay."""

from dataclasses import dataclass

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak

from soterone.chain.calls import Call
from soterone.chain.outbox import Attempt
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account, hash32

_TRANSFER_GAS = 21_000


@dataclass(frozen=True, slots=True)
class Fees:
    """The most that a unit of gas may cost, and the tip inside it (EIP-1559)."""

    max_fee_wei: int
    priority_fee_wei: int

    @classmethod
    def suggested(cls, base_fee_wei: int, tip_wei: int, limit_wei: int) -> "Fees":
        """Twice the base fee and the tip: holds for six full blocks in a row; never above the limit."""
        max_fee_wei = min(2 * base_fee_wei + tip_wei, limit_wei)
        return cls(max_fee_wei, min(tip_wei, max_fee_wei))

    def bumped(self, suggested: "Fees", limit_wei: int) -> "Fees | None":
        """At least an eighth more of both, as nodes ask of a replacement; None when the limit forbids it."""
        max_fee_wei = max(_an_eighth_more(self.max_fee_wei), suggested.max_fee_wei)
        priority_fee_wei = max(_an_eighth_more(self.priority_fee_wei), suggested.priority_fee_wei)
        max_fee_wei = max(max_fee_wei, priority_fee_wei)
        return Fees(max_fee_wei, priority_fee_wei) if max_fee_wei <= limit_wei else None


def sign_call(signer: Signer, chain_id: int, call: Call, nonce: int, gas_limit: int, fees: Fees) -> Attempt:
    """Return the signed transaction of a call; it sends no coins along."""
    fields = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "to": call.to,
        "value": 0,
        "data": call.data,
        "gas": gas_limit,
        "maxFeePerGas": fees.max_fee_wei,
        "maxPriorityFeePerGas": fees.priority_fee_wei,
    }
    signature = signer.sign(bytes(TypedTransaction.from_dict(fields).hash()))
    parts = {
        "v": signature[64] - 27,
        "r": int.from_bytes(signature[:32]),
        "s": int.from_bytes(signature[32:64]),
    }
    raw = bytes(TypedTransaction.from_dict(fields | parts).encode())
    return Attempt(hash32(keccak(raw)), raw, nonce, gas_limit, fees.max_fee_wei, fees.priority_fee_wei)


def sign_nothing(signer: Signer, chain_id: int, nonce: int, fees: Fees) -> Attempt:
    """Return a transfer of nothing to oneself: it uses up a nonce that nothing else will."""
    call = Call(Account(signer.account), b"", "fill a nonce gap")
    return sign_call(signer, chain_id, call, nonce, _TRANSFER_GAS, fees)


def _an_eighth_more(wei: int) -> int:
    return wei * 9 // 8 + 1
