"""Sends one transaction after the other from an account that nothing else sends from, and waits for each.

A stuck one is replaced by one that pays more, as `soterone.chain.sender` does. Nothing is remembered: whoever must
not lose a transaction uses that and its outbox.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from soterone.chain.calls import Call
from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError, RevertedError, RpcError
from soterone.chain.outbox import Attempt
from soterone.chain.records import Receipt
from soterone.chain.sender import SendingPolicy
from soterone.chain.transactions import Fees, sign_call
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Hash32

_POLL_SECONDS: Final = 0.05
_TOO_CHEAP: Final = "underpriced"
"""How nodes refuse a transaction whose nonce a dearer one holds, one of an earlier run perhaps (EIP-1559 or not)."""


class NotMinedError(ChainError):
    """A transaction was sent and not mined in time; it may still be."""

    def __init__(self, description: str, transaction_hash: Hash32, seconds: float) -> None:
        super().__init__(
            f"{description}: transaction {transaction_hash} was not mined within {seconds:g} s. "
            "See whether it is later, and whether the chain makes blocks."
        )
        self.transaction_hash = transaction_hash


@dataclass(slots=True)
class _Offering:
    """A call on its way; of the attempts, which have one nonce, a block takes at most one."""

    call: Call
    nonce: int
    gas_limit: int
    attempts: list[Attempt] = field(default_factory=list)


class DirectSender:
    """Pays for transactions of its own; `patience_seconds` is how long it waits for a block with one of them. Of the
    policy, `stuck_seconds` and `max_fee_wei` count."""

    def __init__(
        self,
        chain: ChainClient,
        signer: Signer,
        patience_seconds: float = 60.0,
        policy: SendingPolicy | None = None,
    ) -> None:
        self._chain, self._signer, self._patience_seconds = chain, signer, patience_seconds
        self._policy = policy or SendingPolicy()
        self._turn = asyncio.Lock()

    async def send(self, call: Call) -> Receipt:
        """Send a call and return its receipt; RevertedError when the contract refuses it, before or after sending,
        NotMinedError when no block has it in time."""
        async with self._turn:
            estimate = await self._chain.estimate_gas(call, self._signer.account)
            nonce = await self._chain.transaction_count(self._signer.account)
            offering = _Offering(call, nonce, estimate + estimate // 4)
            await self._offer(offering, await self._suggested())
            try:
                async with asyncio.timeout(self._patience_seconds):
                    receipt = await self._mined(offering)
            except TimeoutError:
                last = offering.attempts[-1].transaction_hash
                raise NotMinedError(call.description, last, self._patience_seconds) from None
        if not receipt.succeeded:
            raise RevertedError("", {}, f"{call.description}: the contract refused it when it was mined.")
        return receipt

    async def _mined(self, offering: _Offering) -> Receipt:
        """Return the receipt of the attempt that a block has; offer a dearer one whenever the last is stuck."""
        while (receipt := await self._receipt(offering.attempts)) is None:
            last = offering.attempts[-1]
            offered = Fees(last.max_fee_wei, last.priority_fee_wei)
            dearer = offered.bumped(await self._suggested(), self._policy.max_fee_wei)
            if dearer is not None:
                await self._offer(offering, dearer)
        return receipt

    async def _offer(self, offering: _Offering, fees: Fees) -> None:
        """Hand a transaction to the chain's node, a dearer one while that finds it too cheap to replace another.

        RpcError when the node takes none at all; after a first one, that may be mined by now, a refusal is none.
        """
        offer, chain_id = fees, self._chain.contracts.chain_id
        while True:
            attempt = sign_call(
                self._signer, chain_id, offering.call, offering.nonce, offering.gas_limit, offer
            )
            try:
                await self._chain.send_raw(attempt.raw)
            except RpcError as refusal:
                dearer = offer.bumped(offer, self._policy.max_fee_wei)
                if _TOO_CHEAP in refusal.message and dearer is not None:
                    offer = dearer
                    continue
                if offering.attempts:
                    return
                raise
            offering.attempts.append(attempt)
            return

    async def _receipt(self, attempts: Sequence[Attempt]) -> Receipt | None:
        """Return the receipt of the attempt that was mined, None when they count as stuck."""
        try:
            async with asyncio.timeout(self._policy.stuck_seconds):
                while True:
                    found = await self._chain.receipts([one.transaction_hash for one in attempts])
                    if mined := next((one for one in found if one is not None), None):
                        return mined
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            return None

    async def _suggested(self) -> Fees:
        head, tip_wei = await self._chain.head(), await self._chain.priority_fee_wei()
        return Fees.suggested(head.base_fee_wei, tip_wei, self._policy.max_fee_wei)
