"""Writes docs/gas.md and README's gas table from contracts/gas.json, so that no figure in them is typed by hand.

`python -m scripts.gas_table` writes; `--check` compares instead, and exits 1 when a page is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.gas import COMMITTED, TARGETS

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "gas.md"
README: Final = ROOT / "README.md"
BEGIN, END = "<!-- gas: written by make generate -->\n", "<!-- gas: end -->\n"


@dataclass(frozen=True, slots=True)
class Row:
    """Operations of contracts/gas.json that are one row, and what the same work costs peers; "–": none does it."""

    title: str
    operations: tuple[str, ...]
    peers: str


ROWS: Final = (
    Row(
        "register a node",
        ("register",),
        "ERC-8004 106.9k to 177.7k; Prime Intellect 178.6k + 315.6k + 130.6k",
    ),
    Row(
        "dispatch, 3 owners and 3 MPC nodes, signature checked",
        ("dispatch_3do_3mpc",),
        "Prime Intellect joinPool, one node, 322k; ERC-8004 validationRequest 190k",
    ),
    Row("replace an MPC node", ("mpc_updated",), "Prime Intellect invalidateWork 422k"),
    Row("complete / clean up", ("complete", "cleanup"), "ERC-8004 validationResponse 90k"),
    Row("settle 6 nodes", ("settle_6",), "–"),
    Row(
        "feedback on 2 nodes, relayed",
        ("feedback_2_relayed",),
        "ERC-8004, one node, 88k to 196k; EAS by delegation 265k to 282k",
    ),
    Row(
        "reputation of 10 nodes, existing slots",
        ("reputation_batch_10",),
        "The Graph REO ×10 131k warm, 785k first; EAS multiAttest ×10 2.14M",
    ),
    Row("uphold a claim, 3 votes / 5 votes", ("penalty_3", "penalty_5"), "–"),
)
_HEAD: Final = """# What an operation costs

Gas of whole transactions: `make gas` measures them on a fresh chain and writes `contracts/gas.json`; the tests fail
when a figure exceeds its target, or the committed one by more than 2 %. This page is written from that file. The peers'
figures were measured in the same way, whole transactions with 200 runs of the optimiser; they stand in
`scripts/gas_table.py`.

"""


def page(figures: dict[str, int]) -> str:
    """docs/gas.md: every row beside its target and its peers."""
    lines = ["| operation | measured | target | peers |", "|---|---|---|---|"]
    lines += [f"| {row.title} | {_measured(row, figures)} | {_targets(row)} | {row.peers} |" for row in ROWS]
    return _HEAD + "\n".join(lines) + "\n"


def readme(text: str, figures: dict[str, int]) -> str:
    """README with its gas table between the two marks; ValueError when a mark is missing."""
    lines = ["| gas of a whole transaction ([peers](docs/gas.md)) | measured | target |", "|---|---|---|"]
    lines += [f"| {row.title} | {_measured(row, figures)} | {_targets(row)} |" for row in ROWS]
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:before] + "\n".join(lines) + "\n" + text[after:]


def _measured(row: Row, figures: dict[str, int]) -> str:
    return " / ".join(f"{figures[one]:,}" for one in row.operations)


def _targets(row: Row) -> str:
    return " / ".join(f"{TARGETS[one]:,}" for one in row.operations)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args(arguments).check
    figures = json.loads(COMMITTED.read_text())
    texts = {PAGE: page(figures), README: readme(README.read_text(), figures)}
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is out of date: run `make generate`", file=sys.stderr)
        else:
            path.write_text(texts[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
