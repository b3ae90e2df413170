"""The contracts' ABI as this package uses it: encoded calls, decoded results, logs and typed errors."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib import resources
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import (
    collapse_if_tuple,
    event_abi_to_log_topic,
    function_abi_to_4byte_selector,
    get_abi_input_types,
    get_abi_output_types,
)
from eth_utils.address import to_checksum_address

from soterone.chain.errors import RevertedError
from soterone.domain.ids import hash32

CONTRACTS = ("NodeRegistry", "QueryLedger", "ReputationLedger", "DetectorQuorum", "Timelock")
_PLAIN_ERRORS = (
    {"type": "error", "name": "Error", "inputs": [{"name": "reason", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
)


@dataclass(frozen=True)
class EventCodec:
    """How one event stands in a log: its name, and (field, type) of the indexed and of the other arguments."""

    name: str
    indexed: tuple[tuple[str, str], ...]
    plain: tuple[tuple[str, str], ...]

    def decode(self, topics: list[str], data: str) -> dict[str, Any]:
        """Return the arguments by snake_case name; ValueError when the log does not fit."""
        if len(topics) != len(self.indexed) + 1:
            raise ValueError(f"{self.name}: {len(topics)} topics")
        try:
            indexed = _decoded(self._indexed_kinds, b"".join(map(_bytes, topics[1:])))
            plain = _decoded(self._plain_kinds, _bytes(data))
        except DecodingError as problem:
            raise ValueError(f"{self.name}: data do not fit") from problem
        return dict(zip(self._fields, (*indexed, *plain), strict=True))

    @cached_property
    def _indexed_kinds(self) -> tuple[str, ...]:
        return tuple(kind for _, kind in self.indexed)

    @cached_property
    def _plain_kinds(self) -> tuple[str, ...]:
        return tuple(kind for _, kind in self.plain)

    @cached_property
    def _fields(self) -> tuple[str, ...]:
        return tuple(field for field, _ in (*self.indexed, *self.plain))


@cache
def load_abi(contract: str) -> list[Mapping[str, Any]]:
    """Return the committed ABI of a contract."""
    text = resources.files("soterone.chain").joinpath("abi", f"{contract}.json").read_text("utf-8")
    abi: list[Mapping[str, Any]] = json.loads(text)["abi"]
    return abi


@cache
def _function(contract: str, name: str) -> tuple[bytes, list[str], list[str]]:
    (abi,) = [one for one in load_abi(contract) if one["type"] == "function" and one["name"] == name]
    selector = function_abi_to_4byte_selector(abi)  # type: ignore[arg-type]
    return selector, get_abi_input_types(abi), get_abi_output_types(abi)  # type: ignore[arg-type]


@cache
def selectors(contract: str) -> frozenset[bytes]:
    """Return the 4 bytes by which each function of a contract is called."""
    return frozenset(
        function_abi_to_4byte_selector(one)  # type: ignore[arg-type]
        for one in load_abi(contract)
        if one["type"] == "function"
    )


def encode_call(contract: str, function: str, *arguments: Any) -> bytes:
    """Return calldata; structs are tuples in the order of their fields."""
    selector, kinds, _ = _function(contract, function)
    return selector + encode(kinds, arguments)


def decode_call(contract: str, function: str, data: bytes) -> tuple[Any, ...] | None:
    """Return the arguments of calldata, as `decode_result` does; None when it calls something else or does not fit."""
    selector, kinds, _ = _function(contract, function)
    if data[:4] != selector:
        return None
    try:
        return _decoded(tuple(kinds), data[4:])
    except DecodingError:
        return None


def decode_result(contract: str, function: str, data: bytes) -> tuple[Any, ...]:
    """Return the values that a function returned: accounts checksummed, bytes32 as Hash32, structs as tuples."""
    _, _, kinds = _function(contract, function)
    return _decoded(tuple(kinds), data)


@cache
def event_codecs() -> Mapping[str, EventCodec]:
    """Every event of the contracts by its topic (`0x` text)."""
    return {
        "0x" + event_abi_to_log_topic(one).hex(): _event_codec(one)  # type: ignore[arg-type]
        for contract in CONTRACTS
        for one in load_abi(contract)
        if one["type"] == "event"
    }


def revert(data: bytes, message: str = "") -> RevertedError:
    """Return the typed error that stands in revert data; `message` is what the RPC said besides."""
    abi = _errors().get(data[:4])
    if abi is None:
        said = f"0x{data.hex()}" if data else (message or "no reason given")
        return RevertedError("", {}, f"The contract refused the call without a known reason: {said}.")
    kinds = get_abi_input_types(abi)  # type: ignore[arg-type]
    try:
        values = _decoded(tuple(kinds), data[4:])
    except DecodingError:
        return RevertedError("", {}, f"The contract refused the call with damaged data: 0x{data.hex()}.")
    names = (snake_case(one["name"]) for one in abi["inputs"])
    arguments = dict(zip(names, values, strict=True))
    return RevertedError(abi["name"], arguments, _sentence(abi["name"], arguments))


def snake_case(name: str) -> str:
    """`profileHash` and `QueryDispatched` as `profile_hash` and `query_dispatched`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@cache
def _errors() -> Mapping[bytes, Mapping[str, Any]]:
    declared = [one for contract in CONTRACTS for one in load_abi(contract) if one["type"] == "error"]
    return {function_abi_to_4byte_selector(one): one for one in (*_PLAIN_ERRORS, *declared)}  # type: ignore[arg-type]


def _event_codec(abi: Mapping[str, Any]) -> EventCodec:
    fields = [(snake_case(one["name"]), collapse_if_tuple(one), one["indexed"]) for one in abi["inputs"]]
    return EventCodec(
        abi["name"],
        tuple((field, kind) for field, kind, indexed in fields if indexed),
        tuple((field, kind) for field, kind, indexed in fields if not indexed),
    )


def _sentence(name: str, arguments: Mapping[str, Any]) -> str:
    """`QueryLedgerTooFewShares(queryId, shares)` becomes "The contract refused: query ledger too few shares (…)"."""
    words = snake_case(name).replace("_", " ")
    said = ", ".join(f"{field} {value}" for field, value in arguments.items())
    if name == "Error":
        return f"The contract refused the call: {arguments['reason']}."
    return f"The contract refused the call: {words}" + (f" ({said})." if said else ".")


def _decoded(kinds: tuple[str, ...], data: bytes) -> tuple[Any, ...]:
    """Decode values of these types. Accounts are read as numbers, which is much faster, and spelt once each."""
    values = decode(_as_numbers(kinds), data)
    return tuple(_value(kind, value) for kind, value in zip(kinds, values, strict=True))


@cache
def _as_numbers(kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(kind.replace("address", "uint160") for kind in kinds)


def _value(kind: str, value: Any) -> Any:
    if kind.endswith("]"):
        inner = kind[: kind.rindex("[")]
        return tuple(_value(inner, one) for one in value)
    if kind.startswith("("):
        return tuple(_value(inner, one) for inner, one in zip(_members(kind), value, strict=True))
    if kind == "address":
        return _checksummed(value)
    return hash32(value) if kind == "bytes32" else value


@lru_cache(maxsize=65_536)
def _checksummed(address: int) -> str:
    return to_checksum_address(address.to_bytes(20))


@cache
def _members(kind: str) -> tuple[str, ...]:
    """The member types of a tuple type: `(address,(uint8,bytes)[])` has `address` and `(uint8,bytes)[]`."""
    members, depth, start = [], 0, 1
    for position, letter in enumerate(kind):
        depth += (letter == "(") - (letter == ")")
        if (letter == "," and depth == 1) or (letter == ")" and depth == 0):
            members.append(kind[start:position])
            start = position + 1
    return tuple(members)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
