"""The mutants sleep in code that compiles, each with a number of its own, and every kind of fault is among them."""

import json
import subprocess

import pytest

from scripts.assurance.inspection import ROOT, Tree, inspect
from scripts.assurance.mutation import collect, plan, sample
from scripts.assurance.schemata import SWITCH, SWITCH_PATH, Numbered, planted, viewing
from scripts.assurance.trials import Trial


@pytest.fixture(scope="module")
def trees() -> dict[str, Tree]:
    return inspect()[0]


@pytest.fixture(scope="module")
def numbered(trees: dict[str, Tree]) -> list[Numbered]:
    return collect(trees, "")


def test_every_kind_of_fault_is_planted(numbered: list[Numbered]) -> None:
    assert {one.mutant.form for one in numbered} == {"expression", "statement", "yul", "guard"}
    kinds = {one.mutant.what for one in numbered}
    assert {
        "condition never holds",
        "statement dropped",
        "onlyRole dropped",
        "< to <=",
        "add to sub",
    } <= kinds
    assert [one.number for one in numbered] == list(range(1, len(numbered) + 1))
    assert not [one for one in numbered if "/interfaces/" in one.mutant.path]


def test_numbers_stay_when_files_are_left_out(trees: dict[str, Tree], numbered: list[Numbered]) -> None:
    some = collect(trees, "PanelDraw")
    assert some
    assert set(some) < set(numbered)


def test_a_sample_is_drawn_by_lot_from_every_file(numbered: list[Numbered]) -> None:
    some = sample(numbered, 100, seed=1)
    assert some == sample(numbered, 100, seed=1) != sample(numbered, 100, seed=2)
    assert {one.mutant.path for one in some} == {one.mutant.path for one in numbered}
    assert 80 < len(set(some)) < 120
    assert set(some) < set(numbered)


def test_what_is_asked_first_is_the_files_own() -> None:
    suites = [
        Trial(f"{name}.t.sol:{name}Test", False, b"", ()) for name in ("Feedback", "PanelDraw", "Roster")
    ]
    asked = [one.artifact for one in plan("PanelDraw", suites)]
    assert asked == [
        "PanelDrawHarness.sol:PanelDrawHarness",
        "PanelDraw.t.sol:PanelDrawTest",
        "Feedback.t.sol:FeedbackTest",
        "Roster.t.sol:RosterTest",
    ]


def test_contracts_with_sleeping_mutants_compile(trees: dict[str, Tree], numbered: list[Numbered]) -> None:
    sources = {path: _planted(path, tree, numbered) for path, tree in trees.items()} | {SWITCH_PATH: SWITCH}
    question = {
        "language": "Solidity",
        "sources": {path: {"content": text} for path, text in sources.items()},
        "settings": {"evmVersion": "cancun", "outputSelection": {"*": {"*": ["abi"]}}},
    }
    command = [ROOT / "scripts" / "solc.mjs", "--standard-json", "--include-path", "node_modules"]
    done = subprocess.run(
        command, cwd=ROOT, input=json.dumps(question), capture_output=True, text=True, timeout=300, check=True
    )
    errors = [one for one in json.loads(done.stdout).get("errors", []) if one["severity"] == "error"]
    assert not errors, errors[0]["formattedMessage"]


def _planted(path: str, tree: Tree, numbered: list[Numbered]) -> str:
    source = (ROOT / path).read_bytes()
    own = [one for one in numbered if one.mutant.path == path]
    return planted(source, tree, own) if own else viewing(source.decode())
