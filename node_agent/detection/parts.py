"""What a detector works with, and the few acts that judging, upholding and reversing share."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc.aio
import structlog

from node_agent.detection.clock import Clock, WallClock
from node_agent.detection.draws import Draws
from node_agent.detection.hearings import Hearings
from node_agent.detection.paying import Payer
from node_agent.detection.polling import Polling
from node_agent.detection.reach import Reach, reach_of
from node_agent.detection.rounds import Rounds
from node_agent.detection.schedule import Schedule
from node_agent.store import Store
from soterone.chain.calls import Call
from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError, RevertedError
from soterone.chain.quorum import Quorum, QuorumCalls
from soterone.crypto.certificates import TlsIdentity
from soterone.domain.ids import Account

if TYPE_CHECKING:
    from soterone.rpc.generated.coordinator_pb2_grpc import AgentsAsyncStub

log = structlog.get_logger()

_TICKS_AN_EPOCH = 60
_LONGEST_TICK_SECONDS = 5.0

Panel = tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class DetectorParts:
    """Everything of one detector; all its work shares it."""

    own: Account
    tls: TlsIdentity
    coordinator: "AgentsAsyncStub"
    chain: ChainClient
    quorum: Quorum
    store: Store
    rounds: Rounds
    polling: Polling
    hearings: Hearings
    draws: Draws
    payer: Payer
    epoch_seconds: int
    clock: Clock = field(default_factory=WallClock)

    @property
    def calls(self) -> QuorumCalls:
        """The transactions that the quorum takes."""
        return QuorumCalls(self.chain.contracts.addresses)

    @property
    def tick_seconds(self) -> float:
        """How long one member waits for another before it acts itself."""
        return min(_LONGEST_TICK_SECONDS, self.epoch_seconds / _TICKS_AN_EPOCH)

    @property
    def blocks_back(self) -> int:
        """Blocks of two epochs, on a chain with a block a second at most."""
        return 2 * self.epoch_seconds + 100

    def schedule(self, epoch: int) -> Schedule:
        """Return the times of an epoch."""
        return Schedule(epoch, self.epoch_seconds)

    async def reach(self, nodes: Collection[Account]) -> dict[Account, Reach]:
        """Return how nodes are reached, other than this one; those that the coordinator does not tell are missing."""
        others = set(nodes) - {self.own}
        return {one.account: one for one in await reach_of(self.coordinator, self.chain, others)}

    async def send(self, call: Call) -> bool:
        """Send a transaction; one that the contract refuses, as when another member was faster, is no error, and one
        that does not get through is no reason to leave the others out."""
        try:
            await self.payer.send(call)
        except RevertedError as refusal:
            log.info("transaction refused", call=call.description, reason=refusal.sentence)
            return False
        except (ChainError, grpc.aio.AioRpcError) as error:
            log.warning("transaction not sent", call=call.description, reason=str(error)[:300])
            return False
        return True

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await self.clock.until(self.clock.now() + seconds)
