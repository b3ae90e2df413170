"""No ABI and no storage layout changes unseen, and the check that says so can fail."""

import json
from pathlib import Path

import pytest

from scripts.assurance.inspection import Tree, inspect
from scripts.assurance.snapshots import FOLDER, changed, snapshot


@pytest.fixture(scope="module")
def compiled() -> dict[str, Tree]:
    return inspect()[1]


def test_abi_and_storage_layout_are_as_committed(compiled: dict[str, Tree]) -> None:
    texts = {name: snapshot(one) for name, one in compiled.items()}
    assert changed(texts, FOLDER) == [], "run `python -m scripts.assurance.snapshots` if the change is meant"


def test_a_moved_variable_and_a_new_function_are_noticed(compiled: dict[str, Tree], tmp_path: Path) -> None:
    texts = {name: snapshot(one) for name, one in compiled.items()}
    for name, text in texts.items():
        (tmp_path / f"{name}.json").write_text(text)
    assert changed(texts, tmp_path) == []
    moved = json.loads(json.dumps(compiled["NodeRegistry"]))
    moved["storageLayout"]["storage"][-1]["slot"] = "99"
    grown = json.loads(json.dumps(compiled["QueryLedger"]))
    grown["abi"].append({"type": "function", "name": "more", "inputs": [], "stateMutability": "view"})
    later = {**texts, "NodeRegistry": snapshot(moved), "QueryLedger": snapshot(grown), "Another": "{}"}
    del later["Timelock"]
    assert changed(later, tmp_path) == ["Another", "NodeRegistry", "QueryLedger", "Timelock"]
