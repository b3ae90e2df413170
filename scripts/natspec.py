"""The contracts' interfaces and what their Natspec says of them, from the compiler's abi, userdoc, devdoc and ast."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eth_utils import keccak
from eth_utils.abi import abi_to_signature

ROOT: Final = Path(__file__).parents[1]
_COMPILER: Final = ("node", str(ROOT / "scripts" / "solc.mjs"), "--standard-json", "--include-path")
_OUTPUT: Final = {"*": {"*": ["abi", "userdoc", "devdoc"], "": ["ast"]}}
_NOT_OURS: Final = {"test", "brownie"}


class NatspecError(Exception):
    """The contracts do not compile, or say too little of themselves; each line is a sentence."""


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter, a returned value or a field; `name` may be empty, `note` is what Natspec says of it."""

    kind: str
    name: str
    note: str
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A function, an event, an error or the constructor; `ours` unless a library of others declares it."""

    sort: str
    name: str
    notice: str
    details: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    mutability: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """A struct or an enum; the fields of an enum have no kind."""

    sort: str
    name: str
    note: str
    fields: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract, an interface or a library, `sort` as the compiler names it; `bases` are the nearest first."""

    name: str
    path: str
    sort: str
    title: str
    notice: str
    details: str
    items: tuple[Item, ...]
    kinds: tuple[Kind, ...]
    bases: tuple[str, ...]


def project_sources() -> dict[str, str]:
    """The sources of everything but tests, by path."""
    paths = sorted(path.relative_to(ROOT) for path in (ROOT / "contracts").rglob("*.sol"))
    return {path.as_posix(): (ROOT / path).read_text() for path in paths if not _NOT_OURS & {*path.parts}}


def compile_contracts(sources: Mapping[str, str]) -> list[Contract]:
    """Every contract of the sources, by path and place in it; NatspecError when the compiler refuses one."""
    request = {
        "language": "Solidity",
        "sources": {path: {"content": text} for path, text in sources.items()},
        "settings": {"outputSelection": _OUTPUT},
    }
    answer = subprocess.run(
        [*_COMPILER, str(ROOT / "node_modules")],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if answer.returncode:
        raise NatspecError(answer.stderr.strip())
    output = json.loads(answer.stdout)
    refused = [one["formattedMessage"] for one in output.get("errors", []) if one["severity"] == "error"]
    if refused:
        raise NatspecError("\n".join(refused))
    return list(_contracts(output, sources))


def undocumented(contracts: list[Contract]) -> list[str]:
    """One sentence for each thing of ours that Natspec says nothing of: a contract without title, an item without
    notice, a named parameter or a returned value of a function, an event or a constructor without a word."""
    sentences = {}
    for contract in contracts:
        if not contract.title:
            sentences[contract.name] = f"{contract.path}: {contract.name} has no @title"
        for item in contract.items:
            for gap in _gaps(item):
                sentences[f"{item.sort} {item.name} {gap}"] = (
                    f"{contract.path}: {item.sort} {item.name} {gap}"
                )
    return list(sentences.values())


def _gaps(item: Item) -> Iterator[str]:
    if not item.ours:
        return
    if not item.notice and item.sort != "constructor":
        yield "has no @notice"
    getter = item.sort == "function" and not item.inputs
    for value in () if item.sort == "error" else item.inputs:
        if value.name and not value.note:
            yield f"has no @param {value.name}"
    for value in () if getter else item.outputs:
        if not value.note:
            yield f"has no @return for {value.name or value.kind}"


def _contracts(output: Mapping[str, Any], sources: Mapping[str, str]) -> Iterator[Contract]:
    nodes = {
        one["id"]: one for path in output["sources"] for one in _definitions(output["sources"][path]["ast"])
    }
    for path in sources:
        for node in _definitions(output["sources"][path]["ast"]):
            compiled = output["contracts"][path][node["name"]]
            user, dev = compiled["userdoc"], compiled["devdoc"]
            bases = [nodes[one] for one in node["linearizedBaseContracts"]]
            family = [one for one in bases if one["name"] in _names(output, sources)]
            declared = {one for member in family for one in _selectors(member)} | _errors(output, sources)
            yield Contract(
                name=node["name"],
                path=path,
                sort=node["contractKind"],
                title=dev.get("title", ""),
                notice=user.get("notice", ""),
                details=dev.get("details", ""),
                items=tuple(_item(one, user, dev, declared) for one in compiled["abi"]),
                kinds=tuple(_kinds(node)),
                bases=tuple(one["name"] for one in family[1:]),
            )


def _definitions(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (node for node in tree["nodes"] if node["nodeType"] == "ContractDefinition")


def _names(output: Mapping[str, Any], sources: Mapping[str, str]) -> set[str]:
    return {name for path in sources for name in output["contracts"][path]}


def _errors(output: Mapping[str, Any], sources: Mapping[str, str]) -> set[str]:
    """Selectors of all errors of ours: a contract's interface has those of the libraries that it uses, too."""
    definitions = (node for path in sources for node in _definitions(output["sources"][path]["ast"]))
    return {
        member["errorSelector"]
        for node in definitions
        for member in node["nodes"]
        if "errorSelector" in member
    }


def _selectors(definition: Mapping[str, Any]) -> Iterator[str]:
    for member in definition["nodes"]:
        yield from (member[key] for key in ("functionSelector", "eventSelector") if key in member)


def _item(
    abi: Mapping[str, Any], user: Mapping[str, Any], dev: Mapping[str, Any], declared: set[str]
) -> Item:
    sort, name = abi["type"], abi.get("name", "")
    signature = abi_to_signature(abi) if name else sort  # type: ignore[arg-type]
    folder = {"event": "events", "error": "errors"}.get(sort, "methods")
    said, told = (_entry(one.get(folder, {}).get(signature, {})) for one in (user, dev))
    digest = keccak(text=signature).hex()
    return Item(
        sort=sort,
        name=name,
        notice=said.get("notice", ""),
        details=told.get("details", ""),
        inputs=_values(abi.get("inputs", []), told.get("params", {})),
        outputs=_values(abi.get("outputs", []), told.get("returns", {})),
        mutability=abi.get("stateMutability", ""),
        ours=sort == "constructor" or digest in declared or digest[:8] in declared,
    )


def _entry(value: Any) -> Mapping[str, Any]:
    """What is said of an item; errors have a list, as several may have one signature."""
    found: Mapping[str, Any] = value[0] if isinstance(value, list) else value
    return found


def _values(abi: list[Mapping[str, Any]], notes: Mapping[str, str]) -> tuple[Value, ...]:
    return tuple(
        Value(
            kind=one.get("internalType", one["type"]).split(" ")[-1].split(".")[-1],
            name=one["name"],
            note=notes.get(one["name"] or f"_{place}", ""),
            indexed=one.get("indexed", False),
        )
        for place, one in enumerate(abi)
    )


def _kinds(contract: Mapping[str, Any]) -> Iterator[Kind]:
    for node in contract["nodes"]:
        if node["nodeType"] not in ("StructDefinition", "EnumDefinition"):
            continue
        text = node.get("documentation", {}).get("text", "")
        note = " ".join(text.replace("@dev ", "").replace("@notice ", "").split())
        fields = (
            Value(one.get("typeDescriptions", {}).get("typeString", ""), one["name"], "")
            for one in node["members"]
        )
        yield Kind(node["nodeType"].removesuffix("Definition").lower(), node["name"], note, tuple(fields))
