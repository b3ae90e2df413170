"""How a detector's transactions come onto the chain: paid by itself, or by the coordinator when its coins buy none."""

from typing import TYPE_CHECKING

import structlog

from soterone.chain.calls import Call
from soterone.chain.client import ChainClient
from soterone.chain.direct_sender import DirectSender
from soterone.chain.errors import RpcError
from soterone.domain.ids import Account
from soterone.rpc.generated.coordinator_pb2 import QuorumCall

if TYPE_CHECKING:
    from soterone.rpc.generated.coordinator_pb2_grpc import AgentsAsyncStub

log = structlog.get_logger()

_RELAY_SECONDS = 60.0


class Payer:
    """Sends calls of the quorum that anybody may make."""

    def __init__(
        self, own: Account, chain: ChainClient, sender: DirectSender, coordinator: "AgentsAsyncStub"
    ) -> None:
        self._own, self._chain, self._sender, self._coordinator = own, chain, sender, coordinator

    async def send(self, call: Call) -> None:
        """Send a call. Errors: RevertedError when the contract refuses it now, ChainError, and grpc.aio.AioRpcError
        when the coordinator was asked and does not relay it."""
        if await self._chain.balance_wei(self._own) and await self._paid(call):
            return
        await self._chain.simulate(call, self._own)
        await self._coordinator.RelayToQuorum(QuorumCall(data=call.data), timeout=_RELAY_SECONDS)
        log.info("transaction relayed", call=call.description)

    async def _paid(self, call: Call) -> bool:
        """Send a call from this account; False when the chain's node takes no transaction of it: anybody can give it
        one coin too few."""
        try:
            receipt = await self._sender.send(call)
        except RpcError as refusal:
            log.warning("transaction not taken", call=call.description, reason=str(refusal)[:200])
            return False
        log.info("transaction mined", call=call.description, gas_used=receipt.gas_used)
        return True
