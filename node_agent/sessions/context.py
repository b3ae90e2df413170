"""What all sessions of one agent share: who it is, and the ports to the rest of it."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node_agent.engines.base import Engine, Limits
from node_agent.sessions.backoff import Backoff
from node_agent.sessions.port_range import PortRange
from node_agent.sessions.ports import (
    Chain,
    Datasets,
    Directory,
    LastContact,
    Policy,
    SessionLimits,
    SessionStore,
)
from node_agent.workspace.folder import Workspaces
from soterone.crypto.accounts import Signer
from soterone.crypto.certificates import TlsIdentity
from soterone.crypto.messages import Domain
from soterone.domain.ids import Account, Hash32

if TYPE_CHECKING:
    from soterone.rpc.generated.coordinator_pb2_grpc import AgentsAsyncStub


@dataclass(frozen=True, slots=True)
class AgentContext:
    """Handed to every session. `ledger` is the EIP-712 domain of the QueryLedger, `host` how others know this node.

    `seen_hashes` gives those that this node has read at a height, also before a reorganisation. An engine that breaks
    may only have lost a peer that failed for a better reason: for `hearsay_seconds` that peer's word is awaited. Who
    only heard of a failure reports it after `witness_seconds`, if nothing happened.
    """

    signer: Signer
    tls: TlsIdentity
    host: str
    ledger: Domain
    store: SessionStore
    directory: Directory
    datasets: Datasets
    policy: Policy
    coordinator: "AgentsAsyncStub"
    engine: Engine
    workspaces: Workspaces
    chain: Chain
    last_contact: LastContact
    limits: SessionLimits = field(default_factory=SessionLimits)
    engine_ports: PortRange = field(default_factory=lambda: PortRange(20000, 31999))
    clock: Callable[[], float] = time.monotonic
    backoff: Backoff = field(default_factory=lambda: Backoff(0.2, 20.0))
    seen_hashes: Callable[[int], Collection[Hash32]] = lambda number: ()
    hearsay_seconds: float = 1.0
    witness_seconds: float = 5.0

    @property
    def account(self) -> Account:
        """This node."""
        return self.signer.account

    def engine_limits(self, seconds: float) -> Limits:
        """Return what one engine process may use, for at most so long."""
        return Limits(
            memory_bytes=self.limits.engine_memory_bytes, seconds=seconds, nice=self.limits.engine_nice
        )
