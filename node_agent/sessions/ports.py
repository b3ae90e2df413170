"""What a session needs from the rest of the agent: its store, directory, datasets, policy and limits.

Each port is a Protocol, so that sessions know nothing of SQLite, of files or of how the chain is followed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from node_agent.tables import TableSource
from soterone.domain.ids import Account, DatasetId, QueryId
from soterone.domain.metadata import DatasetMetadata
from soterone.rpc.generated.coordinator_pb2 import SessionDescription


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What outlives a restart of the agent; one row a query.

    `state` is a value of sessions.states.State. `description` is the serialised SessionDescription, empty when
    unknown or destroyed; `order` is the JSON of the order seen on chain, empty before. (generation, attempt) never
    goes back.
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
    """A table of this owner: where it is, and what it published of it (hidden columns are not in there)."""

    source: TableSource
    metadata: DatasetMetadata


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

    def verdict(self, description: SessionDescription) -> Verdict:
        """Judge a session: customer, purpose, algorithm, batch, MPC operators. No side effect but a manual queue."""


StatusOf = Callable[[QueryId], Awaitable[int]]
"""Ask the chain for QueryLedger.statusOf(...).status: 0 none, 1 dispatched, 2 completed, 3 failed, 4, 5 cleaned."""

LastContact = Callable[[], float]
"""The monotonic time, in seconds, at which the coordinator was last heard."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What sessions may use of this machine. `engine_ports` is the range that peers' engines dial, both ends in."""

    max_sessions: int = 2
    engine_ports: tuple[int, int] = (20000, 31999)
    engine_memory_bytes: int = 4 * 2**30
    engine_nice: int = 5
    workspace_bytes: int = 8 * 2**30
    minimum_silence_seconds: float = field(default=15.0)
