"""Mutation testing of the contracts: plants every fault of `mutants`, and asks whether any Solidity suite notices.

`python -m scripts.assurance.mutation` runs all and exits 1 when a mutant survives that contracts/survivors.json does
not explain; `--only TEXT` keeps to files whose path holds TEXT, `--json FILE` writes what became of each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.assurance import forge
from scripts.assurance.inspection import ROOT, Tree, inspect
from scripts.assurance.mutants import Mutant, mutants_of, text_of
from scripts.assurance.schemata import SWITCH, SWITCH_PATH, Numbered, planted, viewing

SURVIVORS = ROOT / "contracts" / "survivors.json"
SUITES = {
    "DetectorQuorum": "DetectorQuorum,QuorumAttacks,QuorumAppeal,Attacks",
    "BallotBox": "DetectorQuorum,QuorumAttacks",
    "PanelDraw": "PanelDraw,DetectorQuorum,QuorumAttacks",
    "Roster": "DetectorQuorum,QuorumAttacks",
    "NodeRegistry": "NodeRegistry",
    "NodeSlot": "NodeRegistry",
    "SplitPause": "NodeRegistry",
    "Signatures": "NodeRegistry,Feedback",
    "ReputationMath": "ReputationMath,ReputationLedger,Feedback",
    "ReputationLedger": "ReputationLedger,Feedback,QuorumAppeal",
    "RatingSheet": "ReputationLedger,Feedback",
    "SettlementSlot": "ReputationLedger,Feedback",
}
"""The suites that are asked first about a file; for the others those of queries."""
QUERY_SUITES = "QueryDispatch,QueryLifecycle,QueryReplacement"
TIMEOUT_SECONDS = 600


def collect(trees: dict[str, Tree], only: str) -> list[Numbered]:
    """The mutants of all files, numbered from 1; a number stays when other files are left out."""
    paths = [path for path in sorted(trees) if "/interfaces/" not in path]
    found = [one for path in paths for one in mutants_of(path, trees[path], (ROOT / path).read_bytes())]
    return [Numbered(number, one) for number, one in enumerate(found, 1) if only in one.path]


def plant(trees: dict[str, Tree], numbered: list[Numbered]) -> Path:
    """A Foundry project with the mutants asleep in a copy of the contracts."""
    folder = forge.project("mutation", "contracts", "contracts/test", copy=True, optimiser=forge.QUICK)
    for path, tree in trees.items():
        own = [one for one in numbered if one.mutant.path == path]
        (folder / path).write_text(planted((ROOT / path).read_bytes(), tree, own))
    (folder / SWITCH_PATH).write_text(SWITCH)
    for suite in (folder / "contracts" / "test").glob("*.sol"):
        suite.write_text(viewing((ROOT / suite.relative_to(folder)).read_text()))
    return folder


def awake(folder: Path, number: int, suites: str) -> bool:
    """Whether some test of these suites fails while this mutant is awake; 0 wakes none."""
    names = f"contracts/test/{{{suites}}}.t.sol"
    command = ["forge", "test", "--fail-fast", "--block-coinbase", f"0x{number:040x}", "--match-path", names]
    try:
        return forge.run(command, folder, TIMEOUT_SECONDS).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def killed(folder: Path, one: Numbered) -> bool:
    """Whether any suite notices a mutant: those of its file first, then all."""
    suites = SUITES.get(Path(one.mutant.path).stem, QUERY_SUITES)
    return awake(folder, one.number, suites) or awake(folder, one.number, "*")


def identity(mutant: Mutant) -> str:
    """What names a mutant in the list of survivors: its line's text, so that it outlives lines that move."""
    source = (ROOT / mutant.path).read_bytes()
    start = source.rfind(b"\n", 0, mutant.place.start) + 1
    end = source.find(b"\n", mutant.place.end - 1)
    before = text_of(source, mutant.place).replace("\n", " ")
    line = " ".join(source[start:end].decode().split())
    return f"{Path(mutant.path).name}: {mutant.what}: `{before}` in `{line}`"


def trials(folder: Path, numbered: list[Numbered]) -> Iterator[tuple[Numbered, bool]]:
    """What became of each mutant, as many at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from zip(numbered, pool.map(lambda one: killed(folder, one), numbered), strict=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutate files whose path holds this")
    parser.add_argument("--json", type=Path, help="write what became of each mutant")
    arguments = parser.parse_args()
    trees, _ = inspect()
    numbered = collect(trees, arguments.only)
    folder = plant(trees, numbered)
    print(f"· {len(numbered)} mutants; compiling them takes minutes", flush=True)
    if awake(folder, 0, "*"):
        print("the suites fail with every mutant asleep", file=sys.stderr)
        return 1
    survivors = []
    for count, (one, dead) in enumerate(trials(folder, numbered), 1):
        survivors += [] if dead else [identity(one.mutant)]
        if count % 50 == 0 or not dead:
            print(f"  {count}/{len(numbered)}  {'' if dead else survivors[-1]}", flush=True)
    return report(numbered, survivors, arguments.json)


def report(numbered: list[Numbered], survivors: list[str], target: Path | None) -> int:
    """Prints the score and what is not explained; 1 when there is any of it."""
    explained: dict[str, str] = json.loads(SURVIVORS.read_text()) if SURVIVORS.exists() else {}
    dead = len(numbered) - len(survivors)
    print(f"{dead} of {len(numbered)} mutants killed, {len(survivors)} survive")
    if target:
        target.write_text(json.dumps({"mutants": len(numbered), "survivors": survivors}, indent=1) + "\n")
    strange = [one for one in survivors if one not in explained]
    for one in strange:
        print(f"not explained in {SURVIVORS.name}: {one}", file=sys.stderr)
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
