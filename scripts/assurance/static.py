"""Slither over the contracts: a finding of medium or high impact that contracts/slither.json does not explain fails."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from scripts.assurance import forge
from scripts.assurance.inspection import ROOT, Tree

SLITHER = forge.CACHE / "slither" / "bin"
EXPLAINED = ROOT / "contracts" / "slither.json"
GRAVE = ("Medium", "High")
TIMEOUT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Finding:
    """What Slither says, and the name by which it is explained: detector and function, not lines, which move."""

    name: str
    impact: str
    text: str


def parse(report: Tree) -> list[Finding]:
    """The findings of a report that lie in this project's own contracts."""
    own = [one for one in report["results"].get("detectors", []) if _is_own(one)]
    return [Finding(f"{one['check']}: {_where(one)}", one["impact"], one["description"]) for one in own]


def _is_own(finding: Tree) -> bool:
    paths = [one["source_mapping"]["filename_relative"] for one in finding["elements"][:1]]
    return all(path.startswith("contracts/") and "/test/" not in path for path in paths)


def _where(finding: Tree) -> str:
    element = finding["elements"][0]
    parents = []
    parent: Tree = element
    while parent:
        if parent.get("type") in ("function", "contract", "variable", "struct"):
            parents.append(parent["name"])
        parent = parent.get("type_specific_fields", {}).get("parent", {})
    return ".".join(reversed(parents)) or element["name"]


def analyse() -> list[Finding]:
    """Runs every detector over a copy of the contracts without their suites, which would take minutes to compile."""
    folder = forge.project(
        "analysis", "contracts", "contracts/test", copy=True, leave_out=("test",), optimiser=forge.QUICK
    )
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    command = [str(SLITHER / "slither"), ".", "--compile-force-framework", "foundry", "--json", report.name]
    done = forge.run(command, folder, TIMEOUT_SECONDS, path=SLITHER)
    if not report.exists():
        raise RuntimeError(f"slither reported nothing:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    found: Tree = json.loads(report.read_text())
    if not found["success"]:
        raise RuntimeError(f"slither failed: {found['error']}")
    return parse(found)


def main() -> int:
    findings = analyse()
    explained: dict[str, str] = json.loads(EXPLAINED.read_text())
    grave = {one.name: one for one in findings if one.impact in GRAVE}
    for name in sorted(grave.keys() - explained.keys()):
        print(f"{grave[name].impact}: {name}\n{grave[name].text}", file=sys.stderr)
    for name in sorted(explained.keys() - grave.keys()):
        print(f"explained in {EXPLAINED.name}, but found no more: {name}", file=sys.stderr)
    print(
        f"{len(findings)} findings, {len(grave)} of medium or high impact by name, {len(explained)} explained"
    )
    return 0 if grave.keys() == explained.keys() else 1


if __name__ == "__main__":
    sys.exit(main())
