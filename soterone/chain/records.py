"""What the chain tells, as frozen values: blocks, receipts, nodes, queries and where the contracts stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, Self

from soterone.domain.ids import Account, Hash32, hash32
from soterone.domain.roles import Role


class NodeStatus(IntEnum):
    """`INodeRegistry.NodeStatus`."""

    NONE = 0
    ACTIVE = 1
    SUSPENDED = 2
    GONE = 3


class QueryStatus(IntEnum):
    """`IQueryLedger.QueryStatus`."""

    NONE = 0
    DISPATCHED = 1
    COMPLETED = 2
    FAILED = 3
    COMPLETED_CLEANED = 4
    FAILED_CLEANED = 5


class DeployedAt(Protocol):
    """Where a contract stands, as `soterone.chain.deployment` records it."""

    @property
    def address(self) -> str: ...
    @property
    def code_hash(self) -> str: ...


class DeploymentRecord(Protocol):
    """What this module needs of a `soterone.chain.deployment.Deployment`."""

    @property
    def chain_id(self) -> int: ...
    @property
    def start_block(self) -> int: ...
    @property
    def contracts(self) -> Mapping[str, DeployedAt]: ...


@dataclass(frozen=True, slots=True)
class Contracts:
    """The contracts of one network: addresses by Solidity name, and the keccak256 of their code where known (`0x`
    text); without it only the presence of code is checked."""

    chain_id: int
    start_block: int
    addresses: Mapping[str, Account]
    code_hashes: Mapping[str, str]

    @classmethod
    def of(cls, deployment: DeploymentRecord) -> Self:
        """Return the contracts of a deployment file."""
        addresses = {name: Account(one.address) for name, one in deployment.contracts.items()}
        hashes = {name: one.code_hash for name, one in deployment.contracts.items()}
        return cls(deployment.chain_id, deployment.start_block, addresses, hashes)


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block by number and hash."""

    number: int
    hash: Hash32


@dataclass(frozen=True, slots=True)
class Block:
    """The head of a block; `timestamp` in seconds since 1970, `logs_bloom` as `soterone.chain.bloom` reads it (0 on
    chains without)."""

    number: int
    hash: Hash32
    parent_hash: Hash32
    timestamp: int
    base_fee_wei: int
    logs_bloom: int = 0

    @classmethod
    def from_rpc(cls, found: Mapping[str, Any]) -> Self:
        """Read a block as `eth_getBlockByNumber` gives it."""
        return cls(
            int(found["number"], 16),
            hash32(found["hash"]),
            hash32(found["parentHash"]),
            int(found["timestamp"], 16),
            int(found.get("baseFeePerGas") or "0x0", 16),
            int(found.get("logsBloom") or "0x0", 16),
        )

    @property
    def ref(self) -> BlockRef:
        """Number and hash."""
        return BlockRef(self.number, self.hash)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node as the registry knows it; `commitment` = keccak256(abi.encode(TLS key hash, profile hash, version))."""

    operator: Account
    roles: Role
    version: int
    status: NodeStatus
    incarnation: int
    commitment: Hash32


@dataclass(frozen=True, slots=True)
class QueryState:
    """The slot of a query; `time` is that of dispatch, after the end that of completion or failure."""

    status: QueryStatus
    generation: int
    time: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a mined transaction."""

    transaction_hash: Hash32
    block: BlockRef
    succeeded: bool
    gas_used: int
    logs: tuple[Mapping[str, Any], ...]

    @classmethod
    def from_rpc(cls, found: Mapping[str, Any]) -> Self:
        """Read a receipt of a mined transaction."""
        return cls(
            hash32(found["transactionHash"]),
            BlockRef(int(found["blockNumber"], 16), hash32(found["blockHash"])),
            int(found["status"], 16) == 1,
            int(found["gasUsed"], 16),
            tuple(found["logs"]),
        )
