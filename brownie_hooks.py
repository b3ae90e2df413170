"""What Brownie loads before it compiles: it would take Hardhat's suites for contracts."""

from pathlib import Path

SUITES = "contracts/test"


def brownie_load_source(path: Path, source: str) -> str:
    """The source as Brownie is to see it: nothing of a suite, which only Hardhat's cheatcodes can run."""
    return "" if path.parent.as_posix().endswith(SUITES) else source
