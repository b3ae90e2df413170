"""What Halmos proves of the contracts' arithmetic and packed words, for every input (tests/contracts/proofs)."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from scripts.assurance import forge

HALMOS = forge.CACHE / "halmos" / "bin" / "halmos"
TIMEOUT_SECONDS = 3600
ASSERTION_SECONDS = 120
BRANCHING_SECONDS = 5
"""How long Halmos may think about a claim, and about whether a path can be taken; it walks those it is unsure of."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one property: PASS, FAIL, TIMEOUT, ERROR."""

    name: str
    outcome: str


def parse(output: str) -> list[Verdict]:
    """The verdicts in Halmos's output; one that explored its paths in part only is none."""
    plain = re.sub(r"\x1b\[\d+m", "", output)
    partial = set(re.findall(r"(check_\w+)\([^)]*\): paths have not been fully", plain))
    found = re.findall(r"\[(\w+)\] (check_\w+)\(", plain)
    return [Verdict(name, "PARTIAL" if name in partial else outcome) for outcome, name in found]


def prove() -> list[Verdict]:
    """Runs every property; each is a function `check_…`."""
    folder = forge.project("proofs", "tests/contracts/proofs", "tests/contracts/proofs")
    limits = {"assertion": ASSERTION_SECONDS, "branching": BRANCHING_SECONDS}
    timeouts = [one for what, most in limits.items() for one in (f"--solver-timeout-{what}", f"{most}s")]
    command = [str(HALMOS), "--no-status", *timeouts]
    done = forge.run(command, folder, TIMEOUT_SECONDS)
    verdicts = parse(done.stdout + done.stderr)
    if not verdicts:
        raise RuntimeError(f"halmos proved nothing:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return verdicts


def main() -> int:
    verdicts = prove()
    for one in verdicts:
        print(f"{one.outcome:<8} {one.name}")
    failed = [one for one in verdicts if one.outcome != "PASS"]
    print(f"{len(verdicts) - len(failed)} of {len(verdicts)} properties proven")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
