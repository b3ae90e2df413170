"""`make contracts-assurance`: everything that is known to be checkable about the contracts, one step after another.

`--only STEP …` keeps to some steps; the exit status is 1 when a step fails. The whole takes twenty minutes on two
cores, most of it to compile for coverage and for the mutants.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from scripts.assurance import environment
from scripts.assurance.inspection import ROOT

DEEP_FUZZ = {"SOTER_FUZZ_RUNS": "2000", "SOTER_INVARIANT_RUNS": "256"}
DIFFERENTIAL = {"SOTER_DIFFERENTIAL_CASES": "100000", "SOTER_EVERY_AGE": "1"}
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
STEPS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "snapshots": (("-m", "scripts.assurance.snapshots", "--check"), {}),
    "gas": (("-m", "scripts.gas", "--check"), {}),
    "differential": ((*PYTEST, "tests/contracts/test_reputation_differential.py"), DIFFERENTIAL),
    "proofs": (("-m", "scripts.assurance.proofs"), {}),
    "slither": (("-m", "scripts.assurance.static"), {}),
    "fuzz": (("npm", "test", "--silent"), DEEP_FUZZ),
    "coverage": (("-m", "scripts.assurance.coverage"), {}),
    "mutation": (("-m", "scripts.assurance.mutation"), {}),
}
"""What each step runs, with this Python unless it begins with npm, and what it adds to the environment."""


def run(name: str) -> bool:
    """Runs a step, its output going where ours goes; whether it passed."""
    command, added = STEPS[name]
    whole = command if command[0] == "npm" else (sys.executable, *command)
    print(f"\n== {name}", flush=True)
    started = time.monotonic()
    passed = subprocess.run(whole, cwd=ROOT, env={**os.environ, **added}, check=False).returncode == 0
    print(f"== {name} {'passed' if passed else 'FAILED'} in {time.monotonic() - started:.0f} s", flush=True)
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), help="run these steps")
    names = parser.parse_args().only
    environment.prepare()
    failed = [name for name in names if not run(name)]
    print(
        f"\n{len(names) - len(failed)} of {len(names)} steps passed"
        + "".join(f"\n  failed: {n}" for n in failed)
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
