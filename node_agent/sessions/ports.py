"""What a session needs from the rest of the agent: its store, directory, datasets, policy and limits.

Each port is a Protocol, so that sessions know nothing of SQLite, of files or of how the chain is followed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from node_agent.tables import TableSource
from soterone.chain.events import Event
from soterone.chain.records import Block, NodeRecord, QueryState
from soterone.domain.ids import Account, DatasetId, QueryId
from soterone.domain.metadata import DatasetMetadata
from soterone.rpc.generated.coordinator_pb2 import SessionDescription


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What outlives a restart of the agent; one row a query.

    `state` is a value of sessions.states.State. `description` is the serialised SessionDescription, empty when
    destroyed; `order` is the JSON of the order seen on chain, empty before. (generation, attempt) never goes
    back.
    """

    query_id: QueryId
    state: str
    generation: int = 0
    attempt: int = 0
    description: bytes = b""
    order: str = ""
    reason: int = 0
    sentence: str = ""


class SessionStore(Protocol):
    """Durable when the call returns; one short transaction a call."""

    def save_session(self, record: SessionRecord) -> None:
        """Insert or replace the query's row."""

    def session(self, query_id: QueryId) -> SessionRecord | None:
        """Return the query's row, None when there is none."""

    def sessions(self) -> list[SessionRecord]:
        """Return all rows, oldest first."""

    def delete_session(self, query_id: QueryId) -> None:
        """Forget the query; nothing happens when it is unknown."""


class Directory(Protocol):
    """What the chain says of nodes, by its events since the deployment."""

    def key_hash(self, account: Account) -> bytes | None:
        """Return the 32-byte hash of the node's TLS public key; None when it is not an active node."""


@dataclass(frozen=True, slots=True)
class OwnDataset:
    """A table of this owner: where it is, and what it published of it (hidden columns are not in there).

    `columns` maps each published column name to the table's own; they differ where the name is masked.
    """

    source: TableSource
    metadata: DatasetMetadata
    columns: Mapping[str, str]


class Datasets(Protocol):
    """This owner's published tables."""

    def dataset(self, dataset_id: DatasetId) -> OwnDataset | None:
        """Return a published dataset; None when this node does not publish it (any more)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The policy's answer; `sentence` says why not, for the customer to read."""

    accepted: bool
    sentence: str = ""


class Policy(Protocol):
    """The owner's rules, asked at the offer and again at the order."""

    @property
    def minimum_common_rows(self) -> int:
        """Fewest aligned rows that this owner trains on."""

    @property
    def accepted_mpc_operators(self) -> tuple[Account, ...]:
        """Whose MPC nodes this owner uploads to beside its own operator's; empty: anybody's."""

    def verdict(self, description: SessionDescription) -> Verdict:
        """Judge a session: customer, purpose, algorithm, batch, MPC operators; may queue it for a person."""


class Chain(Protocol):
    """The chain through this agent's own RPC: what `soterone.chain.client.ChainClient` offers, with its errors."""

    async def status_of(self, query_id: QueryId) -> QueryState:
        """Return the slot of a query."""

    async def head(self) -> Block:
        """Return the newest block."""

    async def block(self, number: int) -> Block | None:
        """Return the block at a height, None when the chain is shorter."""

    async def epoch_seconds(self) -> int:
        """Return how long an epoch of the reputation lasts."""

    async def node_of(self, node: Account, block_number: int | None = None) -> NodeRecord:
        """Return the registry's record as of a block."""

    async def record_of(self, node: Account, block_number: int | None = None) -> tuple[int, ...]:
        """Return the reputation's record as of a block."""

    async def events_of_query(self, query_id: QueryId, last_block: int) -> tuple[Event, ...]:
        """Return the query's events up to a block, in order, from its dispatch on."""


LastContact = Callable[[], float]
"""The monotonic time, in seconds, at which the coordinator was last heard."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What sessions may use of this machine, and how patient they are.

    `engine_ports` is the range, both ends in, that other nodes' engines dial: keep it outside the range from
    which the system draws ports for outgoing connections. `join_patience_seconds` is how long a leader tries to
    reach a node before it complains of it.
    """

    max_sessions: int = 2
    engine_ports: tuple[int, int] = (20000, 31999)
    engine_memory_bytes: int = 4 * 2**30
    engine_nice: int = 5
    workspace_bytes: int = 8 * 2**30
    engine_silence_seconds: float = 8.0
    join_patience_seconds: float = 30.0
