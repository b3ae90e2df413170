"""What the compiler says of the contracts: syntax trees, ABIs, storage layouts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Tree = dict[str, Any]
"""A node of the compiler's JSON, whose shape the compiler documents."""


def inspect() -> tuple[dict[str, Tree], dict[str, Tree]]:
    """Syntax trees by path, and `{"abi": …, "storageLayout": …}` by the name of a deployed contract."""
    script = Path(__file__).with_name("inspect_contracts.mjs")
    done = subprocess.run(["node", script], check=True, capture_output=True, timeout=300)
    found = json.loads(done.stdout)
    return found["trees"], found["contracts"]
