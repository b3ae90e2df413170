"""Tries many mutants in one process of forge: every test by itself, on a few random inputs where it takes any.

What Foundry does about fuzzing and invariants beyond that is left to it, and only the survivors are worth it.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector

from scripts.assurance import forge
from scripts.assurance.inspection import Tree

DRIVER = Path(__file__).with_name("Trials.sol")
TRIAL = "(string,bool,bytes,bytes[])[]"
INPUTS = 3
"""How many random inputs a fuzz test gets here."""
TIMEOUT_SECONDS = 7200
NAME = "Trials.t.sol"
HEAD = """// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Trials} from "./Trials.sol";
"""
TEST = """    function test_{number}() public {{
        attempt({number}, "plans/{name}");
    }}
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """A suite and the calls of its tests; or a harness, whose answers are compared with the original's."""

    artifact: str
    compared: bool
    preparation: bytes
    calls: tuple[bytes, ...]

    @property
    def suite(self) -> str:
        """The file's name before `.t.sol`."""
        return self.artifact.partition(".")[0]


def suites(folder: Path) -> list[Trial]:
    """What the compiled suites of a project hold, invariants left out."""
    found = []
    for path in sorted(folder.glob("out/*.t.sol/*.json")):
        methods: dict[str, str] = json.loads(path.read_text())["methodIdentifiers"]
        tests = {name: selector for name, selector in methods.items() if name.startswith("test")}
        if tests and path.parent.name != NAME:
            preparation = bytes.fromhex(methods.get("setUp()", ""))
            calls = [call for name, selector in sorted(tests.items()) for call in _calls(name, selector)]
            found.append(Trial(f"{path.parent.name}:{path.stem}", False, preparation, tuple(calls)))
    return found


def _calls(signature: str, selector: str) -> list[bytes]:
    types = [one for one in signature[signature.index("(") + 1 : -1].split(",") if one]
    rng = random.Random(signature)  # noqa: S311
    inputs = [b"".join(_word(rng, one) for one in types) for _ in range(INPUTS if types else 1)]
    return [bytes.fromhex(selector) + one for one in inputs]


def _word(rng: random.Random, kind: str) -> bytes:
    if kind == "bytes32":
        return rng.randbytes(32)
    return rng.getrandbits(int(kind.removeprefix("uint"))).to_bytes(32, "big")


def harness(name: str, function: str, types: Sequence[str], arguments: Sequence[object]) -> Trial:
    """A harness asked once, whose answer must be the original's, which the differential tests hold to Python's."""
    selector = function_signature_to_4byte_selector(f"{function}({','.join(types)})")
    return Trial(f"{name}.sol:{name}", True, b"", (selector + encode(types, arguments),))


def write(folder: Path, numbers: dict[str, list[int]], plans: dict[str, list[Trial]]) -> None:
    """Puts the driver into a project, with one contract for each name: mutants to be tried, and what is asked."""
    shutil.copy(DRIVER, folder / "contracts" / "test")
    (folder / "plans").mkdir(exist_ok=True)
    parts = [HEAD]
    for name, own in numbers.items():
        rows = [(one.artifact, one.compared, one.preparation, one.calls) for one in plans[name]]
        (folder / "plans" / name).write_bytes(encode([TRIAL], [rows]))
        tests = "".join(TEST.format(number=number, name=name) for number in (0, *own))
        parts.append(f"\ncontract TrialsOf{name} is Trials {{\n{tests}}}\n")
    (folder / "contracts" / "test" / NAME).write_text("".join(parts))


def run(folder: Path, name: str) -> dict[int, str]:
    """The mutants that some test noticed, and forge's word for which; 0 is the sleeping code."""
    command = ["forge", "test", "--json", "--match-contract", f"^TrialsOf{name}$"]
    done = forge.run(command, folder, TIMEOUT_SECONDS)
    if not done.stdout.startswith("{"):
        raise RuntimeError(f"forge tried nothing:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    report: dict[str, Tree] = json.loads(done.stdout)
    results = {test: one for suite in report.values() for test, one in suite["test_results"].items()}
    return {
        int(test.removeprefix("test_").removesuffix("()")): one["reason"] or "failed"
        for test, one in results.items()
        if one["status"] == "Failure"
    }
