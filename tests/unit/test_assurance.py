"""What the tools of contracts-assurance print is read rightly, the bad news above all."""

import re

from scripts.assurance import coverage, proofs, static
from scripts.assurance.inspection import ROOT
from scripts.assurance.schemata import viewing

LCOV = """TN:
SF:contracts/Ledger.sol
BRDA:10,0,0,5
BRDA:10,0,1,-
BRDA:12,1,0,0
end_of_record
SF:contracts/test/Ledger.t.sol
BRDA:1,0,0,-
end_of_record
SF:contracts/interfaces/ILedger.sol
end_of_record
"""
HALMOS = """\x1b[32m[PASS]\x1b[0m check_whole(uint8) (paths: 4, time: 0.16s, bounds: [])
\x1b[32m[PASS]\x1b[0m check_part(uint16) (paths: 48, time: 4.70s, bounds: [])
WARNING  check_part(uint16): paths have not been fully
\x1b[33m[TIMEOUT]\x1b[0m check_hard(uint8,uint32) (paths: 11, time: 61.70s, bounds: [])
\x1b[31m[FAIL]\x1b[0m check_wrong() (paths: 1, time: 0.01s, bounds: [])
"""


def test_branches_are_those_of_the_contracts() -> None:
    assert coverage.parse(LCOV) == [coverage.Coverage("contracts/Ledger.sol", 1, (10, 12))]


def test_what_was_explored_in_part_is_not_proven() -> None:
    outcomes = {one.name: one.outcome for one in proofs.parse(HALMOS)}
    assert outcomes == {
        "check_whole": "PASS",
        "check_part": "PARTIAL",
        "check_hard": "TIMEOUT",
        "check_wrong": "FAIL",
    }


def test_findings_are_named_by_function_and_only_our_own_count() -> None:
    contract = {"type": "contract", "name": "Ledger", "type_specific_fields": {}}
    function = {"type": "function", "name": "settle", "type_specific_fields": {"parent": contract}}
    report = {
        "results": {
            "detectors": [
                _finding("contracts/Ledger.sol", function),
                _finding("node_modules/a.sol", function),
            ]
        }
    }
    assert static.parse(report) == [static.Finding("reentrancy: Ledger.settle", "Medium", "said")]


def _finding(path: str, element: dict[str, object]) -> dict[str, object]:
    place = {"source_mapping": {"filename_relative": path}}
    return {
        "check": "reentrancy",
        "impact": "Medium",
        "description": "said",
        "elements": [{**element, **place}],
    }


def test_pure_becomes_view_and_words_that_hold_it_do_not() -> None:
    assert viewing("function f() internal pure { purest; }") == "function f() internal view { purest; }"


def test_every_test_that_the_page_names_is_there() -> None:
    page = (ROOT / "docs" / "contracts-assurance.md").read_text()
    named = set(re.findall(r"\b((?:test|testFuzz|invariant|check)_\w+)", page))
    files = [*(ROOT / "contracts" / "test").glob("*.sol"), *(ROOT / "tests").rglob("*.*")]
    texts = [one.read_text() for one in files if one.suffix in (".sol", ".py")]
    written = {name for text in texts for name in re.findall(r"(?:function|def) (\w+)\(", text)}
    assert len(named) > 60
    assert named <= written, named - written
