"""Mutation testing of the contracts: plants every fault of `mutants`, and asks whether any Solidity suite notices.

`python -m scripts.assurance.mutation` runs all and exits 1 when a mutant survives that contracts/survivors.json does
not explain, or one is explained there that does not. `--only TEXT` keeps to files whose path holds TEXT, `--sample N`
to N mutants drawn by lot; `--json FILE` writes which survive. A mutant that no test notices, and that is not explained,
is fuzzed besides, alone.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from functools import partial
from itertools import product
from pathlib import Path

from scripts.assurance import arithmetic, forge, trials
from scripts.assurance.inspection import ROOT, Tree, inspect
from scripts.assurance.mutants import Mutant, mutants_of, text_of
from scripts.assurance.schemata import SWITCH, SWITCH_PATH, Numbered, planted, viewing
from scripts.assurance.trials import Trial

SURVIVORS = ROOT / "contracts" / "survivors.json"
SUITES = {
    "DetectorQuorum": "DetectorQuorum,QuorumAttacks,QuorumAppeal,Attacks",
    "BallotBox": "BallotBox,DetectorQuorum,QuorumAttacks",
    "PanelDraw": "PanelDraw,DetectorQuorum,QuorumAttacks",
    "Roster": "Roster,DetectorQuorum,QuorumAttacks",
    "NodeRegistry": "NodeRegistry",
    "NodeSlot": "NodeRegistry",
    "SplitPause": "NodeRegistry",
    "Signatures": "NodeRegistry,Feedback",
    "ReputationMath": "ReputationMath,ReputationLedger,Feedback",
    "ReputationLedger": "ReputationLedger,Feedback,QuorumAppeal",
    "RatingSheet": "ReputationLedger,Feedback",
    "SettlementSlot": "SettlementSlot,ReputationLedger,Feedback",
    "Erc8004Identity": "Erc8004",
    "Erc8004Reputation": "Erc8004",
}
"""The suites that are asked first about a file; for the others those of queries."""
QUERY_SUITES = "QueryDispatch,QueryLifecycle,QueryReplacement"
UPDATES = 400
DRAWS = 40
"""Questions to the arithmetic; the differential tests ask as many thousands."""
BUILD_SECONDS = 7200
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


def ask(folder: Path, numbered: list[Numbered]) -> dict[int, str]:
    """The mutants that a test notices when all are tried in a few processes, and forge's word for which test."""
    forge.build(folder, BUILD_SECONDS)
    suites = trials.suites(folder)
    numbers: dict[str, list[int]] = {}
    for one in numbered:
        numbers.setdefault(Path(one.mutant.path).stem, []).append(one.number)
    trials.write(folder, numbers, {name: plan(name, suites) for name in numbers})
    killed: dict[int, str] = {}
    for name, own in numbers.items():
        found = trials.run(folder, name)
        if 0 in found:
            raise RuntimeError(f"the suites fail with every mutant asleep: {found[0]}")
        print(f"  {name}: {len(found)} of {len(own)} killed", flush=True)
        killed |= found
    return killed


def plan(name: str, suites: list[Trial]) -> list[Trial]:
    """What is asked about the mutants of a file: its harness, its own suites, then all others."""
    first = SUITES.get(name, QUERY_SUITES).split(",")
    own = [one for wanted in first for one in suites if one.suite == wanted]
    return [*harnesses(name), *own, *(one for one in suites if one not in own)]


def harnesses(name: str) -> list[Trial]:
    """What is known to agree with Python bit for bit, and is therefore asked to agree with the original."""
    rng = random.Random(2_002)  # noqa: S311
    if name == "PanelDraw":
        draws = [arithmetic.draw(rng) for _ in range(DRAWS)]
        return [trials.harness("PanelDrawHarness", "play", ["(bytes32,uint256,uint256,uint256)[]"], [draws])]
    if name != "ReputationMath":
        return []
    pairs = list(product(arithmetic.DECAY_VALUES[-2:], arithmetic.DECAY_AGES))
    updates = [arithmetic.update(rng) for _ in range(UPDATES)]
    cases = [(arithmetic.pack(record), *rest) for record, *rest in updates]
    percentages = [[rng.randint(0, 100) for _ in range(100)] for _ in range(2)]
    ask_math = partial(trials.harness, "ReputationMathHarness")
    return [
        ask_math("decay", ["uint256[]", "uint256[]"], [list(column) for column in zip(*pairs, strict=True)]),
        ask_math("play", ["(uint256,uint8,uint32,uint8,uint32,uint40,uint32)[]"], [cases]),
        ask_math("credibility", ["uint256", "uint256[]", "uint256[]"], [3 * 10**8, *percentages]),
    ]


def fuzzed(folder: Path, number: int) -> bool:
    """Whether Foundry's fuzzing or an invariant notices a mutant."""
    command = ["forge", "test", "--fail-fast", "--block-coinbase", f"0x{number:040x}"]
    command += ["--match-test", "^(testFuzz_|invariant_)", "--no-match-path", f"**/{trials.NAME}"]
    try:
        return forge.run(command, folder, TIMEOUT_SECONDS).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def identity(mutant: Mutant) -> str:
    """What names a mutant in the list of survivors: its line's text, so that it outlives lines that move."""
    source = (ROOT / mutant.path).read_bytes()
    start = source.rfind(b"\n", 0, mutant.place.start) + 1
    end = source.find(b"\n", mutant.place.end - 1)
    before = text_of(source, mutant.place).replace("\n", " ")
    line = " ".join(source[start:end].decode().split())
    return f"{Path(mutant.path).name}: {mutant.what}: `{before}` in `{line}`"


def sample(numbered: list[Numbered], size: int, seed: int) -> list[Numbered]:
    """So many of the mutants, drawn by lot from each file by its share, one of each file at least."""
    rng = random.Random(seed)  # noqa: S311
    files: dict[str, list[Numbered]] = {}
    for one in numbered:
        files.setdefault(one.mutant.path, []).append(one)
    shares = {path: max(1, round(size * len(own) / len(numbered))) for path, own in files.items()}
    return [one for path, own in files.items() for one in sorted(rng.sample(own, shares[path]), key=_number)]


def _number(one: Numbered) -> int:
    return one.number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutate files whose path holds this")
    parser.add_argument("--sample", type=int, metavar="N", help="try N mutants drawn by lot, and say so")
    parser.add_argument("--seed", type=int, default=1, help="of that lot")
    parser.add_argument("--json", type=Path, help="write what became of each mutant")
    arguments = parser.parse_args()
    trees, _ = inspect()
    everything = collect(trees, arguments.only)
    numbered = sample(everything, arguments.sample, arguments.seed) if arguments.sample else everything
    lot = f", drawn by lot with seed {arguments.seed} from {len(everything)}" if arguments.sample else ""
    print(f"· {len(numbered)} mutants{lot}; compiling them takes minutes", flush=True)
    folder = plant(trees, numbered)
    killed = ask(folder, numbered)
    explained: dict[str, str] = json.loads(SURVIVORS.read_text())
    survivors = []
    for one in numbered:
        name = identity(one.mutant)
        if one.number not in killed and (name in explained or not fuzzed(folder, one.number)):
            survivors.append(name)
            print(f"  {one.number}  {name}", flush=True)
    return report(numbered, survivors, explained, arguments.json)


def report(
    numbered: list[Numbered], survivors: list[str], explained: dict[str, str], target: Path | None
) -> int:
    """Prints the score, what is not explained, and what is but was killed; 1 when there is any of these."""
    dead = len(numbered) - len(survivors)
    print(f"{dead} of {len(numbered)} mutants killed, {len(survivors)} survive")
    if target:
        target.write_text(json.dumps({"mutants": len(numbered), "survivors": survivors}, indent=1) + "\n")
    strange = sorted(set(survivors) - explained.keys())
    for name in strange:
        print(f"not explained in {SURVIVORS.name}: {name}", file=sys.stderr)
    stale = sorted({identity(one.mutant) for one in numbered} & explained.keys() - set(survivors))
    for name in stale:
        print(f"explained in {SURVIVORS.name}, but killed: {name}", file=sys.stderr)
    return 1 if strange or stale else 0


if __name__ == "__main__":
    sys.exit(main())
