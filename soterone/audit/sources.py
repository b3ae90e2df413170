"""The contracts compiled anew from their sources, beside the code that stands on chain.

Immutables are left blank by the compiler and filled in by constructors: they are cut out of the comparison and looked
at one by one. Metadata (a CBOR tail, when there is one) says nothing about what code does and is cut off.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from soterone.audit.report import Check, Finding
from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError
from soterone.chain.records import Contracts

_SETTINGS = 'import("./contracts/compiler.js").then((one) => console.log(JSON.stringify({...one})))'
_OUTPUT = ["evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"]
_CBOR_MAPS = range(0xA1, 0xA5)
_NEIGHBOURS = {
    "QueryLedger": {"REGISTRY": "NodeRegistry"},
    "ReputationLedger": {"REGISTRY": "NodeRegistry", "LEDGER": "QueryLedger"},
    "DetectorQuorum": {"REGISTRY": "NodeRegistry", "LEDGER": "ReputationLedger", "GOVERNOR": "Timelock"},
}
"""Which contract an immutable must point at, by its Solidity name."""


class SourcesError(ChainError):
    """The sources cannot be compiled here; the sentence says what is missing."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The code that a contract has once it is deployed, and where its immutables stand in it: (start, length) in bytes,
    by their names."""

    code: bytes
    immutables: Mapping[str, tuple[tuple[int, int], ...]]


async def check_sources(chain: ChainClient, folder: Path) -> Check:
    """Compile the contracts of a checkout (with `npm ci` done in it) and compare; SourcesError when that fails."""
    names = sorted(chain.contracts.addresses)
    compiled = compile_sources(folder, names)
    findings: list[Finding] = []
    for name in names:
        deployed = await chain.code_at(chain.contracts.addresses[name])
        findings += [
            Finding(f"{name} {problem}")
            for problem in problems_of(name, compiled[name], deployed, chain.contracts)
        ]
    return Check("code is what the sources compile to", len(names), tuple(findings))


def problems_of(name: str, compiled: Compiled, deployed: bytes, contracts: Contracts) -> Iterator[str]:
    """Say how deployed code differs from compiled code."""
    ours, theirs = _blank(compiled.code, compiled), _blank(deployed, compiled)
    if without_metadata(ours) != without_metadata(theirs):
        yield "has other code on chain than its sources compile to"
        return
    for immutable, places in compiled.immutables.items():
        values = {deployed[start : start + length] for start, length in places}
        expected = _expected(name, immutable, contracts)
        if len(values) > 1 or (expected is not None and values != {expected}):
            yield f"was constructed with another {immutable} than its own network's"


def compile_sources(folder: Path, names: list[str]) -> dict[str, Compiled]:
    """Compile contracts by name as the checkout says how; SourcesError when it cannot be."""
    sources = {
        str(path.relative_to(folder)): {"content": path.read_text()}
        for path in sorted((folder / "contracts").rglob("*.sol"))
        if "test" not in path.relative_to(folder).parts
    }
    wanted = {f"contracts/{name}.sol": {name: _OUTPUT, "": ["ast"]} for name in names}
    selection = {"*": {"": ["ast"]}, **wanted}
    document = {
        "language": "Solidity",
        "sources": sources,
        "settings": {**_settings(folder)["compilerSettings"], "outputSelection": selection},
    }
    output = _compile(folder, document)
    variables = dict(_variables([one["ast"] for one in output["sources"].values()]))
    return {name: _compiled(output["contracts"][f"contracts/{name}.sol"][name], variables) for name in names}


def without_metadata(code: bytes) -> bytes:
    """Return code without the CBOR tail that the compiler appends; its last two bytes are the tail's length."""
    length = int.from_bytes(code[-2:]) + 2
    return code[:-length] if length < len(code) and code[-length] in _CBOR_MAPS else code


def _settings(folder: Path) -> dict[str, Any]:
    try:
        found = subprocess.run(  # noqa: S603
            ["node", "--input-type=module", "-e", _SETTINGS],  # noqa: S607
            cwd=folder, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise SourcesError(
            f"{folder} is no checkout whose contracts can be compiled: it needs contracts/ and Node.js ({error})."
        ) from error
    settings: dict[str, Any] = json.loads(found.stdout)
    return settings


def _compile(folder: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Run the pinned compiler of the checkout through py-solc-x."""
    try:
        import solcx
        from solcx.exceptions import SolcError
    except ImportError as error:
        raise SourcesError(
            "py-solc-x is missing: install requirements/sources.txt of the checkout."
        ) from error
    try:
        output: dict[str, Any] = solcx.compile_standard(
            document,
            base_path=(folder / "node_modules").resolve(),
            solc_binary=(folder / "scripts" / "solc.mjs").resolve(),
        )
    except (OSError, SolcError) as error:
        raise SourcesError(
            f"The contracts in {folder} do not compile (was `npm ci` run there?): {error}"
        ) from error
    return output


def _variables(tree: Any) -> Iterator[tuple[str, str]]:
    """Yield id and name of every variable in syntax trees."""
    if isinstance(tree, list):
        for one in tree:
            yield from _variables(one)
    elif isinstance(tree, dict):
        if tree.get("nodeType") == "VariableDeclaration":
            yield str(tree["id"]), tree["name"]
        for one in tree.values():
            yield from _variables(one)


def _compiled(found: Mapping[str, Any], variables: Mapping[str, str]) -> Compiled:
    deployed = found["evm"]["deployedBytecode"]
    immutables = {
        variables.get(number, number): tuple((one["start"], one["length"]) for one in places)
        for number, places in deployed["immutableReferences"].items()
    }
    return Compiled(bytes.fromhex(deployed["object"]), immutables)


def _blank(code: bytes, compiled: Compiled) -> bytes:
    blank = bytearray(code)
    for places in compiled.immutables.values():
        for start, length in places:
            blank[start : start + length] = bytes(length)
    return bytes(blank)


def _expected(contract: str, immutable: str, contracts: Contracts) -> bytes | None:
    """What the constructor must have written, as far as the network determines it (EIP-712's cache, neighbours)."""
    neighbour = contract if immutable == "_cachedThis" else _NEIGHBOURS.get(contract, {}).get(immutable)
    if neighbour and neighbour in contracts.addresses:
        return int(contracts.addresses[neighbour], 16).to_bytes(32)
    known = {
        "_cachedChainId": contracts.chain_id.to_bytes(32),
        "_hashedName": keccak(b"SoterOne"),
        "_hashedVersion": keccak(b"1"),
    }
    return known.get(immutable)
