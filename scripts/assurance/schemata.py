"""All mutants in one compilation: each fault sleeps in the code until the block's coinbase is its number.

Compiling takes minutes and a test run seconds, so that thousands of mutants become affordable (mutant schemata: Untch,
Offutt, Harrold, "Mutation Analysis Using Mutant Schemata", 1993). Whatever was pure becomes view, as it asks the block.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from scripts.assurance.inspection import Tree
from scripts.assurance.mutants import Mutant, Place, place_of

SWITCH_PATH = "contracts/Mutation.sol"
SWITCH = """// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

function mutant(uint256 number) view returns (bool) {
    return uint160(address(block.coinbase)) == number;
}
"""
CHOOSE = (
    " function choose_(number_, mutated_, original_) -> chosen_"
    " { chosen_ := original_ if eq(coinbase(), number_) { chosen_ := mutated_ } }"
)
IMPORT_AT = "pragma solidity 0.8.37;"


@dataclass(frozen=True, slots=True)
class Numbered:
    """A mutant and the coinbase that wakes it."""

    number: int
    mutant: Mutant


def planted(source: bytes, tree: Tree, numbered: list[Numbered]) -> str:
    """The text of a file with its mutants asleep in it."""
    by_place: dict[Place, list[Numbered]] = defaultdict(list)
    for one in numbered:
        by_place[one.mutant.place].append(one)
    text = _Planting(source, by_place, _bodies(tree), _assemblies(tree)).render(0, len(source))
    return viewing(
        text.replace(IMPORT_AT, f'{IMPORT_AT}\n\nimport {{mutant}} from "contracts/Mutation.sol";', 1)
    )


def viewing(text: str) -> str:
    """The same source with view functions in place of pure ones."""
    return re.sub(r"\bpure\b", "view", text)


def _bodies(tree: Tree) -> dict[Place, int]:
    """Where the body opens of each function whose modifier stands at a place."""
    return {
        place_of(modifier): place_of(function["body"]).start + 1
        for function in _nodes(tree, "FunctionDefinition")
        if function.get("body")
        for modifier in function["modifiers"]
    }


def _assemblies(tree: Tree) -> list[int]:
    return [place_of(one["AST"]).start + 1 for one in _nodes(tree, "InlineAssembly")]


def _nodes(node: object, kind: str) -> list[Tree]:
    if isinstance(node, list):
        return [found for one in node for found in _nodes(one, kind)]
    if not isinstance(node, dict):
        return []
    own = [node] if node.get("nodeType") == kind else []
    return own + [found for value in node.values() for found in _nodes(value, kind)]


class _Planting:
    """Renders a file from its ranges, the innermost first."""

    def __init__(
        self,
        source: bytes,
        by_place: dict[Place, list[Numbered]],
        bodies: dict[Place, int],
        assemblies: list[int],
    ) -> None:
        self._source = source
        self._by_place = by_place
        self._places = sorted(by_place, key=lambda one: (one.start, -one.end))
        self._insertions: dict[int, str] = dict.fromkeys(assemblies, CHOOSE)
        for place, numbered in by_place.items():
            for one in numbered:
                if one.mutant.form == "guard":
                    at = bodies[place]
                    before = self._insertions.get(at, "")
                    self._insertions[at] = f"{before} if (!mutant({one.number})) {one.mutant.text}"

    def render(self, start: int, end: int, within: Place | None = None) -> str:
        """The text of a range, with the mutants that stand strictly inside `within`."""
        parts, cursor = [], start
        for place in self._places:
            if place.start < cursor or place.end > end or place == within:
                continue
            parts += [self._plain(cursor, place.start), self._wrapped(place)]
            cursor = place.end
        return "".join([*parts, self._plain(cursor, end)])

    def _plain(self, start: int, end: int) -> str:
        parts, cursor = [], start
        for at in sorted(one for one in self._insertions if start <= one < end):
            parts += [self._source[cursor:at].decode(), self._insertions[at]]
            cursor = at
        return "".join([*parts, self._source[cursor:end].decode()])

    def _wrapped(self, place: Place) -> str:
        numbered = self._by_place[place]
        form = numbered[0].mutant.form
        if form == "guard":
            return ""
        inner = self.render(place.start, place.end, place)
        for one in numbered:
            inner = _WRAPPERS[form](one, inner)
        return f"({inner})" if form == "expression" else inner


def _expression(one: Numbered, original: str) -> str:
    return f"mutant({one.number}) ? {one.mutant.text} : ({original})"


def _statement(one: Numbered, original: str) -> str:
    return f"{{ if (mutant({one.number})) {{ {one.mutant.text} }} else {{ {original} }} }}"


def _yul(one: Numbered, original: str) -> str:
    return f"choose_({one.number}, {one.mutant.text}, {original})"


_WRAPPERS = {"expression": _expression, "statement": _statement, "yul": _yul}
