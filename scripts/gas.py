"""Measures the gas of whole transactions, one named operation each, on a fresh anvil with the committed artifacts.

`python -m scripts.gas` writes contracts/gas.json; `--check` compares instead and exits 1 when a figure exceeds the
committed one by more than 2 % or its target.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from scripts.devnet.anvil import running_anvil
from scripts.gas_scenario import START, Scenario

COMMITTED = Path(__file__).parents[1] / "contracts" / "gas.json"
TOLERANCE = 1.02
TARGETS = {
    "register": 85_000,
    "dispatch_3do_3mpc": 110_000,
    "mpc_updated": 62_000,
    "complete": 35_000,
    "cleanup": 31_000,
    "settle_6": 125_000,
    "feedback_2_relayed": 72_000,
    "reputation_batch_10": 150_000,
    "penalty_3": 95_000,
    "penalty_5": 112_000,
}


def measure() -> dict[str, int]:
    """Gas used by each operation, in the order of TARGETS."""
    with running_anvil("--timestamp", str(START)) as anvil:
        figures = Scenario(anvil.url).measure()
    return {name: figures[name] for name in TARGETS}


def excesses(figures: dict[str, int], committed: dict[str, int]) -> list[str]:
    """One sentence for each figure above its target, or more than 2 % above the committed one."""
    problems = []
    for name, gas in figures.items():
        if gas > TARGETS[name]:
            problems.append(f"{name} takes {gas} gas, the target is {TARGETS[name]}")
        if gas > committed.get(name, 0) * TOLERANCE:
            problems.append(
                f"{name} takes {gas} gas, the committed figure is {committed.get(name, 'missing')}"
            )
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with contracts/gas.json, write nothing")
    check = parser.parse_args().check
    figures = measure()
    for name, gas in figures.items():
        print(f"{name:<22}{gas:>9,}   target {TARGETS[name]:>9,}   {gas / TARGETS[name]:.0%}")
    committed = json.loads(COMMITTED.read_text()) if check else figures
    if not check:
        COMMITTED.write_text(json.dumps(figures, indent=2) + "\n")
    for problem in (problems := excesses(figures, committed)):
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
