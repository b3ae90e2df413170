"""The committed artifacts of the Solidity contracts, which scripts/compile_contracts.mjs generates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract: its JSON ABI, and its creation code as hex with 0x."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: str


@cache
def load_artifact(name: str) -> Artifact:
    """The artifact of a contract by its Solidity name; FileNotFoundError when there is none."""
    value = json.loads((files("soterone.chain") / "abi" / f"{name}.json").read_text())
    return Artifact(value["contract"], value["abi"], value["bytecode"])
