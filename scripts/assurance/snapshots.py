"""The ABI and the storage layout of every deployed contract, committed so that no change slips in unseen.

`python -m scripts.assurance.snapshots` writes contracts/snapshots/*.json; `--check` compares and exits 1 on a change.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from scripts.assurance.inspection import ROOT, Tree, inspect

FOLDER = ROOT / "contracts" / "snapshots"


def snapshot(compiled: Tree) -> str:
    """The text that is committed for one contract."""
    layout = compiled["storageLayout"]
    types = layout["types"] or {}
    parts = {
        "abi": sorted(map(_signature, compiled["abi"])),
        "storage": [_place(one, types) for one in layout["storage"]],
        "structs": {
            kind["label"]: [_place(one, types) for one in kind["members"]]
            for _, kind in sorted(types.items())
            if "members" in kind
        },
    }
    return json.dumps(parts, indent=1) + "\n"


def _place(variable: Tree, types: dict[str, Tree]) -> str:
    kind = types[variable["type"]]
    slot, offset = variable["slot"], variable["offset"]
    return f"slot {slot} byte {offset}: {kind['label']} {variable['label']} ({kind['numberOfBytes']} bytes)"


def _signature(entry: Tree) -> str:
    inputs = ", ".join(_parameter(one) for one in entry.get("inputs", []))
    outputs = ", ".join(_parameter(one) for one in entry.get("outputs", []))
    text = f"{entry['type']} {entry.get('name', '')}({inputs}) {entry.get('stateMutability', '')}"
    return re.sub(r" +", " ", text + (f" returns ({outputs})" if outputs else "")).strip()


def _parameter(parameter: Tree) -> str:
    inner = ", ".join(_parameter(one) for one in parameter.get("components", []))
    kind = parameter["type"].replace("tuple", f"({inner})") if inner else parameter["type"]
    indexed = " indexed" if parameter.get("indexed") else ""
    return f"{kind}{indexed} {parameter['name']}".strip()


def changed(texts: dict[str, str], folder: Path) -> list[str]:
    """Contracts whose committed snapshot differs, is missing, or is of a contract that there is not."""
    names = {path.stem for path in folder.glob("*.json")} | texts.keys()
    committed = {name: folder / f"{name}.json" for name in names}
    return sorted(
        name
        for name, path in committed.items()
        if not path.exists() or name not in texts or path.read_text() != texts[name]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    check = parser.parse_args().check
    texts = {name: snapshot(compiled) for name, compiled in inspect()[1].items()}
    stale = changed(texts, FOLDER)
    if check:
        for name in stale:
            print(
                f"ABI or storage layout of {name} changed; if that is meant, run "
                "`python -m scripts.assurance.snapshots` and commit the difference",
                file=sys.stderr,
            )
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts.items():
        (FOLDER / f"{name}.json").write_text(text)
    print(f"wrote {', '.join(stale)}" if stale else "snapshots are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
