"""Writes docs/contracts.md from the contracts' Natspec, as the pinned compiler understood it.

`python -m scripts.contracts_docs` writes; `--check` compares instead, and exits 1 when the page is out of date. Either
refuses contracts whose Natspec is not complete.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.natspec import Contract, NatspecError, compile_contracts, project_sources, undocumented
from scripts.natspec_page import page

COMMITTED = Path(__file__).parents[1] / "docs" / "contracts.md"


def render() -> str:
    """The page; NatspecError when something is undocumented or the compiler refuses."""
    contracts: list[Contract] = compile_contracts(project_sources())
    if silent := undocumented(contracts):
        raise NatspecError("\n".join(silent))
    return page(contracts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with docs/contracts.md, write nothing")
    check = parser.parse_args(arguments).check
    try:
        text = render()
    except NatspecError as problem:
        print(problem, file=sys.stderr)
        return 1
    if not check:
        COMMITTED.write_text(text)
    elif not COMMITTED.exists() or COMMITTED.read_text() != text:
        print("docs/contracts.md is out of date: run `make generate`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
