"""A typed reader of the chain and of SoterOne's contracts, over any Ethereum node's HTTP RPC.

It signs nothing. Every answer is of the latest block; where a `block_number` may be given, of the state after that
block, which nodes without an archive keep for some 128 blocks (RpcError when they do not).
"""

from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from soterone.chain.bloom import bloom_of, may_hold
from soterone.chain.calls import Call
from soterone.chain.codec import decode_result, encode_call, event_codecs
from soterone.chain.damaged_logs import Reading, read_logs, tell_of
from soterone.chain.errors import (
    ContractMissingError,
    OmittedLogsError,
    RevertedError,
    RpcError,
    UnknownBlockError,
    WrongChainError,
)
from soterone.chain.events import Event, LogPosition, QueryDispatched, RawLog
from soterone.chain.json_rpc import JsonRpc
from soterone.chain.racing import ask_again
from soterone.chain.records import (
    Block,
    Contracts,
    NodeRecord,
    NodeStatus,
    QueryState,
    QueryStatus,
    Receipt,
)
from soterone.domain.ids import Account, Hash32, QueryId, hash32, hash_bytes
from soterone.domain.roles import Role

_QUERY_RANGE_BLOCKS = 5_000
_NO_SUCH_METHOD = -32601
_ERC1271_SELECTOR = bytes.fromhex("1626ba7e")


class ChainClient:
    """Reads one chain. Every method may raise ChainUnreachableError or RpcError; calls of contracts RevertedError."""

    def __init__(self, rpc: JsonRpc, contracts: Contracts) -> None:
        self.rpc = rpc
        self.contracts = contracts
        self._names = {address.lower(): name for name, address in contracts.addresses.items()}

    @classmethod
    async def connect(cls, rpc_url: str, contracts: Contracts, *, timeout_seconds: float = 10.0) -> Self:
        """Return a client after checking chain id and code; WrongChainError or ContractMissingError otherwise."""
        client = cls(JsonRpc(rpc_url, timeout_seconds=timeout_seconds), contracts)
        try:
            await client.check()
        except BaseException:
            await client.close()
            raise
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.rpc.close()

    async def check(self) -> None:
        """Raise unless this is the right chain with the recorded code; worth repeating after a node's restart."""
        found = int(await self.rpc.call("eth_chainId"), 16)
        if found != self.contracts.chain_id:
            raise WrongChainError(self.contracts.chain_id, found)
        for name, address in self.contracts.addresses.items():
            code = await self.code_at(address)
            expected = self.contracts.code_hashes.get(name)
            if not code or (expected is not None and hash32(keccak(code)) != hash32(expected)):
                raise ContractMissingError(name, address, present=bool(code))

    # The registry, the ledgers

    async def node_of(self, node: Account, block_number: int | None = None) -> NodeRecord:
        """The registry's record; status NONE when the account never registered."""
        ((operator, roles, version, status, incarnation, commitment),) = await self._read(
            "NodeRegistry", "nodeOf", node, block_number=block_number
        )
        return NodeRecord(operator, Role(roles), version, NodeStatus(status), incarnation, commitment)

    async def operator_of(self, node: Account) -> Account:
        """The operator, also after unregistration; the zero account when never registered."""
        (operator,) = await self._read("NodeRegistry", "operatorOf", node)
        return Account(operator)

    async def status_of(self, query_id: QueryId) -> QueryState:
        """The slot of a query; status NONE when the chain does not know it."""
        status, generation, time = await self._read("QueryLedger", "statusOf", hash_bytes(query_id))
        return QueryState(QueryStatus(status), generation, time)

    async def commitment_of(self, query_id: QueryId) -> int:
        """What the query's slot commits to, 208 bits: compare with `Opening.commitment`."""
        commitment, *_ = await self._read("QueryLedger", "stateOf", hash_bytes(query_id))
        return int(commitment)

    async def query_id_of(self, customer: Account, salt: bytes) -> QueryId:
        """The id that an order with this salt (32 bytes) gets."""
        (query,) = await self._read("QueryLedger", "queryIdOf", customer, salt)
        return QueryId(query)

    async def score_of(self, node: Account) -> int:
        """R' as of now, decayed, 1e9 fixed point."""
        (score,) = await self.scores_of([node])
        return score

    async def scores_of(self, nodes: Sequence[Account], block_number: int | None = None) -> tuple[int, ...]:
        """`score_of` of each node, in order, in one call."""
        (scores,) = await self._read("ReputationLedger", "scoresOf", list(nodes), block_number=block_number)
        return tuple(scores)

    async def record_of(self, node: Account, block_number: int | None = None) -> tuple[int, ...]:
        """The stored record as `IReputationLedger.Record` lists its fields; undecayed since its last epoch."""
        (record,) = await self._read("ReputationLedger", "recordOf", node, block_number=block_number)
        return tuple(record)

    async def epoch_seconds(self) -> int:
        """How long an epoch of the reputation lasts on this chain."""
        (seconds,) = await self._read("ReputationLedger", "EPOCH_SECONDS")
        return int(seconds)

    async def credibility_of(self, customer: Account, block_number: int | None = None) -> int:
        """A customer's credibility, 1e9 fixed point."""
        (credibility,) = await self._read(
            "ReputationLedger", "credibilityOf", customer, block_number=block_number
        )
        return int(credibility)

    async def periods(self) -> tuple[int, int]:
        """The lengths of an epoch and of a feedback week, in seconds: constructor parameters."""
        (epoch_seconds,) = await self._read("ReputationLedger", "EPOCH_SECONDS")
        (week_seconds,) = await self._read("ReputationLedger", "WEEK_SECONDS")
        return int(epoch_seconds), int(week_seconds)

    async def feedback_periods(self) -> tuple[int, int]:
        """How long feedback is open after a settlement, and how long the coordinator may keep silent before anybody
        settles, in seconds: constructor parameters."""
        (feedback_seconds,) = await self._read("ReputationLedger", "FEEDBACK_WINDOW_SECONDS")
        (silent_settle_seconds,) = await self._read("ReputationLedger", "SILENT_SETTLE_SECONDS")
        return int(feedback_seconds), int(silent_settle_seconds)

    async def is_valid_signature(
        self, account: Account, digest: bytes, signature: bytes, block_number: int | None = None
    ) -> bool:
        """Ask a wallet contract (ERC-1271); False for accounts without code and for anything but its magic value.
        RpcError only where a block is named."""
        data = _ERC1271_SELECTOR + encode(["bytes32", "bytes"], [digest, signature])
        try:
            answer = await self._call(account, data, block_number)
        except RevertedError:
            return False
        except RpcError:
            if block_number is not None:
                raise
            return False
        return len(answer) == 32 and answer == _ERC1271_SELECTOR.ljust(32, b"\0")

    # Blocks and logs

    async def head(self) -> Block:
        """The newest block."""
        return Block.from_rpc(await self.rpc.call("eth_getBlockByNumber", "latest", False))

    async def block(self, number: int) -> Block | None:
        """The block at a height, None when the chain is shorter."""
        found = await self.rpc.call("eth_getBlockByNumber", hex(number), False)
        return Block.from_rpc(found) if found else None

    async def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        """`block` of each number, in one request."""
        found = await self.rpc.batch([("eth_getBlockByNumber", (hex(one), False)) for one in numbers])
        return [Block.from_rpc(one) if one else None for one in found]

    async def readings_of(self, blocks: Sequence[Block]) -> list[Reading]:
        """What the contracts' logs of exactly these blocks say, in one request.

        Where a header announces logs of the contracts, all receipts of the block are read and must account for every
        bit of its Bloom filter. Errors: UnknownBlockError when one was reorganised away, OmittedLogsError.
        """
        requests = [self._logs_request(block) for block in blocks]
        try:
            answers = await self.rpc.batch(requests)
        except RpcError as problem:
            if problem.code == _NO_SUCH_METHOD:
                raise
            raise UnknownBlockError(blocks[0].hash) from problem
        return [self._complete(block, answer) for block, answer in zip(blocks, answers, strict=True)]

    async def events_between(self, first: int, last: int) -> tuple[Event, ...]:
        """The contracts' events of an inclusive range of heights, in order; RpcError when the range is too large
        for the node. A reorganisation meanwhile may mix branches: compare block hashes afterwards."""
        return await self.events_where(self._filter(fromBlock=hex(first), toBlock=hex(last)))

    async def events_where(self, wanted: Mapping[str, Any]) -> tuple[Event, ...]:
        """The contracts' events that an `eth_getLogs` filter finds, in order. Logs that are no events are asked for
        again within two seconds; then they are left out, loudly."""

        async def ask() -> Reading:
            return self.reading(await self.rpc.call("eth_getLogs", wanted))

        found = await ask_again(ask, lambda one: not one.damaged)
        tell_of(found.damaged)
        return found.events

    async def logs_between(self, first: int, last: int, kinds: Collection[type[Event]] = ()) -> list[RawLog]:
        """The contracts' logs of an inclusive range of heights, as the node gives them; only those of some kinds, when
        any are named."""
        span = self._filter(fromBlock=hex(first), toBlock=hex(last))
        if kinds:
            names = {kind.__name__ for kind in kinds}
            span["topics"] = [[topic for topic, codec in event_codecs().items() if codec.name in names]]
        logs: list[RawLog] = await self.rpc.call("eth_getLogs", span)
        return logs

    def reading(self, logs: Sequence[RawLog]) -> Reading:
        """What logs say that the node gave; UnplacedLogError when one does not even say where it stands."""
        return read_logs(logs, self._names, self.contracts.chain_id)

    async def events_of_query(self, query_id: QueryId, last_block: int) -> tuple[Event, ...]:
        """The QueryLedger's events of a query up to a block, in order, from its dispatch on; empty when it has none.
        Read backwards in ranges, so that a recent query costs one request."""
        ledger, found = self.contracts.addresses["QueryLedger"], tuple[Event, ...]()
        last = last_block
        while last >= self.contracts.start_block and not any(
            isinstance(one, QueryDispatched) for one in found
        ):
            first = max(self.contracts.start_block, last - _QUERY_RANGE_BLOCKS + 1)
            span = {
                "address": ledger,
                "topics": [None, query_id],
                "fromBlock": hex(first),
                "toBlock": hex(last),
            }
            found = (*await self.events_where(span), *found)
            last = first - 1
        return found

    async def events_about(
        self, subjects: Sequence[Account | QueryId], first: int, last: int
    ) -> tuple[Event, ...]:
        """The contracts' events of an inclusive range of heights that bear one of `subjects` as an indexed argument, in
        order; empty when the range is. RpcError when it is too large for the node."""
        wanted = [f"0x{subject[2:].lower():0>64}" for subject in subjects]
        found: dict[LogPosition, Event] = {}
        for place in (1, 2, 3) if first <= last and wanted else ():
            topics = [None] * place + [wanted]
            span = {**self._filter(fromBlock=hex(first), toBlock=hex(last)), "topics": topics}
            found.update((one.position, one) for one in await self.events_where(span))
        return tuple(found[position] for position in sorted(found))

    # Accounts and transactions

    async def code_at(self, account: Account) -> bytes:
        """The account's code, empty for a plain key; an EIP-7702 delegation counts as code."""
        return _data(await self.rpc.call("eth_getCode", account, "latest"))

    async def transaction_count(self, account: Account) -> int:
        """How many transactions of the account are mined: its next nonce when none is pending."""
        return int(await self.rpc.call("eth_getTransactionCount", account, "latest"), 16)

    async def balance_wei(self, account: Account) -> int:
        """The account's coins."""
        return int(await self.rpc.call("eth_getBalance", account, "latest"), 16)

    async def priority_fee_wei(self) -> int:
        """The tip that the node suggests."""
        return int(await self.rpc.call("eth_maxPriorityFeePerGas"), 16)

    async def estimate_gas(self, call: Call, sender: Account) -> int:
        """The gas that the call takes now; RevertedError when the contract would refuse it."""
        return int(await self.rpc.call("eth_estimateGas", _transaction(call, sender)), 16)

    async def simulate(self, call: Call, sender: Account, *, block_number: int | None = None) -> bytes:
        """Run a call without sending it; RevertedError when the contract would refuse it."""
        return _data(await self.rpc.call("eth_call", _transaction(call, sender), _tag(block_number)))

    async def send_raw(self, raw: bytes) -> None:
        """Hand signed transaction bytes to the node; doing it again is harmless. RpcError when it refuses."""
        try:
            await self.rpc.call("eth_sendRawTransaction", f"0x{raw.hex()}")
        except RpcError as problem:
            if "already known" not in problem.message and "already imported" not in problem.message:
                raise

    async def receipt(self, transaction_hash: Hash32) -> Receipt | None:
        """The receipt, None while the transaction is not mined."""
        (receipt,) = await self.receipts([transaction_hash])
        return receipt

    async def receipts(self, transaction_hashes: Sequence[Hash32]) -> list[Receipt | None]:
        """`receipt` of each, in one request."""
        found = await self.rpc.batch([("eth_getTransactionReceipt", (one,)) for one in transaction_hashes])
        return [Receipt.from_rpc(one) if one and one.get("blockHash") else None for one in found]

    def _logs_request(self, block: Block) -> tuple[str, tuple[Any, ...]]:
        if self._announced(block):
            return "eth_getBlockReceipts", (block.hash,)
        return "eth_getLogs", (self._filter(blockHash=block.hash),)

    def _announced(self, block: Block) -> bool:
        return any(may_hold(block.logs_bloom, address) for address in self._names)

    def _complete(self, block: Block, answer: Sequence[Mapping[str, Any]] | None) -> Reading:
        if answer is None:
            raise UnknownBlockError(block.hash)
        if not self._announced(block):
            return self.reading(answer)
        logs = [log for receipt in answer for log in receipt["logs"]]
        if block.logs_bloom & ~bloom_of(logs):
            raise OmittedLogsError(block.number)
        return self.reading(logs)

    def _filter(self, **span: str) -> dict[str, Any]:
        return {"address": list(self.contracts.addresses.values()), **span}

    async def _read(
        self, contract: str, function: str, *arguments: Any, block_number: int | None = None
    ) -> tuple[Any, ...]:
        address = self.contracts.addresses[contract]
        answer = await self._call(address, encode_call(contract, function, *arguments), block_number)
        if not answer:
            raise ContractMissingError(contract, address, present=False)
        return decode_result(contract, function, answer)

    async def _call(self, to: Account, data: bytes, block_number: int | None = None) -> bytes:
        call = {"to": to, "data": f"0x{data.hex()}"}
        return _data(await self.rpc.call("eth_call", call, _tag(block_number)))


def _transaction(call: Call, sender: Account) -> dict[str, str]:
    return {"from": sender, "to": call.to, "data": f"0x{call.data.hex()}"}


def _tag(block_number: int | None) -> str:
    return "latest" if block_number is None else hex(block_number)


def _data(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
