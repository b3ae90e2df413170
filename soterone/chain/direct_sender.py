"""Sends one transaction after the other from an account that nothing else sends from, and waits for each.

It remembers nothing: whoever must not lose a transaction uses `soterone.chain.sender` and its outbox.
"""

import asyncio
from typing import Final

from soterone.chain.calls import Call
from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError, RevertedError
from soterone.chain.records import Receipt
from soterone.chain.transactions import Fees, sign_call
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Hash32

_POLL_SECONDS: Final = 0.05
_MOST_FEE_WEI: Final = 500 * 10**9


class NotMinedError(ChainError):
    """A transaction was sent and not mined in time; it may still be."""

    def __init__(self, description: str, transaction_hash: Hash32, seconds: float) -> None:
        super().__init__(
            f"{description}: transaction {transaction_hash} was not mined within {seconds:g} s. "
            "See whether it is later, and whether the chain makes blocks."
        )
        self.transaction_hash = transaction_hash


class DirectSender:
    """Pays for transactions of its own; `patience_seconds` is how long it waits for a block with one of them."""

    def __init__(self, chain: ChainClient, signer: Signer, patience_seconds: float = 60.0) -> None:
        self._chain, self._signer, self._patience_seconds = chain, signer, patience_seconds
        self._turn = asyncio.Lock()

    async def send(self, call: Call) -> Receipt:
        """Send a call and return its receipt; RevertedError when the contract refuses it, before or after sending,
        NotMinedError when no block has it in time."""
        async with self._turn:
            estimate = await self._chain.estimate_gas(call, self._signer.account)
            nonce = await self._chain.transaction_count(self._signer.account)
            head, tip_wei = await self._chain.head(), await self._chain.priority_fee_wei()
            fees = Fees.suggested(head.base_fee_wei, tip_wei, _MOST_FEE_WEI)
            chain_id = self._chain.contracts.chain_id
            attempt = sign_call(self._signer, chain_id, call, nonce, estimate + estimate // 4, fees)
            await self._chain.send_raw(attempt.raw)
            receipt = await self._mined(call, attempt.transaction_hash)
        if not receipt.succeeded:
            raise RevertedError("", {}, f"{call.description}: the contract refused it when it was mined.")
        return receipt

    async def _mined(self, call: Call, transaction_hash: Hash32) -> Receipt:
        try:
            async with asyncio.timeout(self._patience_seconds):
                while True:
                    receipt = await self._chain.receipt(transaction_hash)
                    if receipt is not None:
                        return receipt
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise NotMinedError(call.description, transaction_hash, self._patience_seconds) from None
