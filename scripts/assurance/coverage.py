"""Which branches of the contracts the Solidity suites take, measured by Foundry; fails below 95 %.

Hardhat counts lines and statements only, and its instrumentation breaks the assembly that hands words over in unowned
memory; Foundry reads execution traces and leaves the code as it is.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.assurance import forge

FLOOR = 0.95
TIMEOUT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Coverage:
    """Branches of a file, how many of them were taken, and the lines of those that were not."""

    path: str
    taken: int
    missed_lines: tuple[int, ...]

    @property
    def total(self) -> int:
        return self.taken + len(self.missed_lines)


def parse(report: str) -> list[Coverage]:
    """The project's own contracts in an lcov report, without interfaces, tests and what they import of others."""
    found = []
    for section in report.split("end_of_record"):
        path = re.search(r"^SF:(?:.*/)?(contracts/.*)$", section, re.MULTILINE)
        if path is None or re.search(r"/(node_modules|test|interfaces)/", f"/{path[0].removeprefix('SF:')}"):
            continue
        branches = re.findall(r"^BRDA:(\d+),\d+,\d+,(\S+)$", section, re.MULTILINE)
        missed = tuple(int(line) for line, times in branches if times in ("-", "0"))
        found.append(Coverage(path[1], len(branches) - len(missed), missed))
    return found


def measure() -> list[Coverage]:
    """Runs every suite under Foundry's coverage."""
    folder = forge.project("coverage", "contracts", "contracts/test")
    command = ["forge", "coverage", "--ir-minimum", "--report", "lcov", "--report-file", "lcov.info"]
    done = forge.run(command, folder, TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"forge coverage failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return parse(Path(folder, "lcov.info").read_text())


def main() -> int:
    files = [one for one in measure() if one.total]
    for one in files:
        missed = f"   missed at {', '.join(map(str, one.missed_lines))}" if one.missed_lines else ""
        print(f"{one.path:<44}{one.taken:>4} of {one.total:>4}{missed}")
    share = sum(one.taken for one in files) / sum(one.total for one in files)
    print(f"branches taken: {share:.1%} (floor {FLOOR:.0%})")
    return 0 if share >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
